//! What the `bpf` system call offers, tried out.

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};

use super::Finding;
use crate::causes::with_causes;

const SUBJECT: &str = "BPF features";

const PROGRAMS: [(&str, ProgramType); 2] = [
    ("SCHED_CLS", ProgramType::SchedClassifier),
    ("CGROUP_SOCK_ADDR", ProgramType::CgroupSockAddr),
];

const MAPS: [(&str, MapType); 7] = [
    ("ARRAY", MapType::Array),
    ("HASH", MapType::Hash),
    ("LRU_HASH", MapType::LruHash),
    ("LPM_TRIE", MapType::LpmTrie),
    ("PERCPU_ARRAY", MapType::PerCpuArray),
    ("RINGBUF", MapType::RingBuf),
    ("SK_STORAGE", MapType::SkStorage),
];

pub(super) fn check() -> Vec<Finding> {
    let programs = PROGRAMS.into_iter().map(|(name, kind)| {
        (
            name,
            is_program_supported(kind).map_err(|error| with_causes(&error)),
        )
    });
    let maps = MAPS.into_iter().map(|(name, kind)| {
        (
            name,
            is_map_supported(kind).map_err(|error| with_causes(&error)),
        )
    });
    let mut findings = judge(programs.chain(maps));
    findings.push(match is_program_supported(ProgramType::Xdp) {
        Ok(true) => Finding::ok("XDP", "available"),
        Ok(false) => Finding::note("XDP", "not in this kernel: node ports are served at tc"),
        Err(error) => Finding::note(
            "XDP",
            format!("could not be tried: {}", with_causes(&error)),
        ),
    });
    findings
}

fn judge(tried: impl Iterator<Item = (&'static str, Result<bool, String>)>) -> Vec<Finding> {
    let mut missing = Vec::new();
    for (name, outcome) in tried {
        match outcome {
            Ok(true) => {}
            Ok(false) => missing.push(name),
            // Refused once is refused for all.
            Err(error) => {
                return vec![
                    Finding::problem(SUBJECT, format!("{name} could not be tried: {error}"))
                        .remedy(
                            "run as root; allow the bpf system call in the seccomp profile; check \
                             that kernel lockdown is not in confidentiality mode \
                             (/sys/kernel/security/lockdown)",
                        ),
                ];
            }
        }
    }
    if missing.is_empty() {
        return vec![Finding::ok(
            SUBJECT,
            "every program and map type in use is available",
        )];
    }
    let missing = missing.join(", ");
    vec![
        Finding::problem(SUBJECT, format!("this kernel lacks {missing}")).remedy(
            "boot a kernel built with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_ACT and CONFIG_CGROUP_BPF",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    #[test]
    fn what_the_kernel_lacks_is_named_together() {
        let tried = [
            ("HASH", Ok(true)),
            ("LPM_TRIE", Ok(false)),
            ("RINGBUF", Ok(false)),
        ];

        let findings = judge(tried.into_iter());

        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Problem);
        assert!(findings[0].found.contains("LPM_TRIE, RINGBUF"));
    }

    #[test]
    fn a_refused_system_call_is_told_from_a_missing_feature() {
        let tried = [("HASH", Err("EPERM".to_owned())), ("RINGBUF", Ok(false))];

        let findings = judge(tried.into_iter());

        assert_eq!(findings.len(), 1);
        assert!(findings[0].found.contains("could not be tried: EPERM"));
    }

    #[test]
    fn this_kernel_has_what_is_in_use() {
        let findings = check();

        assert_eq!(
            findings[0].level,
            Level::Ok,
            "run the tests as root (sudo -E): {findings:?}"
        );
    }
}
