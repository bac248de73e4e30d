//! Which devices are told of by name.

use std::time::Duration;

use netproxy_common::DeviceKind;

use super::{shown, start};
use crate::datapath::{DeviceState, ProgramLoad};
use crate::metrics::{Metrics, MetricsPage};

fn device(name: &str, kind: DeviceKind, is_attached: bool) -> DeviceState {
    DeviceState {
        name: name.to_owned(),
        kind,
        is_attached,
        xdp: None,
    }
}

#[track_caller]
fn attached(page: &MetricsPage, device: &str, kind: &str) -> String {
    let labels = format!("device=\"{device}\",kind=\"{kind}\"");
    shown(page, &format!("netproxy_device_attached{{{labels}}}"))
}

#[test]
fn devices_that_are_not_served_are_named_first_and_then_what_leads_outside() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let (pod, outside) = (DeviceKind::Pod, DeviceKind::Outside);

    let devices = vec![
        device("veth1", pod, true),
        device("veth2", pod, false),
        device("eth1", outside, true),
        device("eth0", outside, true),
    ];
    metrics.attachments.devices(devices, "tcx");

    assert_eq!(attached(&page, "veth2", "pod"), "0");
    assert_eq!(attached(&page, "eth0", "outside"), "1");
    assert_eq!(attached(&page, "other", ""), "1");
    let pods = |state: &str| {
        let labels = format!("kind=\"pod\",by=\"tcx\",state=\"{state}\"");
        shown(&page, &format!("netproxy_devices{{{labels}}}"))
    };
    assert_eq!([pods("attached"), pods("failed")], ["1", "1"]);
}

#[test]
fn devices_that_are_gone_are_not_told_of() {
    let (mut metrics, page) = Metrics::new(start(), 2);
    let device = device("veth1", DeviceKind::Pod, true);
    metrics.attachments.devices(vec![device], "clsact");

    metrics.attachments.devices(Vec::new(), "clsact");

    let text = page.text().unwrap();
    assert!(!text.contains("netproxy_device_attached{"), "{text}");
    let devices = "netproxy_devices{kind=\"pod\",by=\"clsact\",state=\"attached\"}";
    assert_eq!(shown(&page, devices), "0");
}

#[test]
fn a_kernel_that_does_not_tell_how_far_it_walked_leaves_no_zero() {
    let (metrics, page) = Metrics::new(start(), 2);
    let load = |program: &str, verified_instructions| ProgramLoad {
        program: program.to_owned(),
        verified_instructions,
        took: Duration::from_millis(250),
    };

    let loads = [load("tc_ingress", Some(64_000)), load("tc_egress", None)];
    metrics.attachments.programs(&loads);

    let of = |metric: &str| format!("netproxy_program_{metric}{{program=\"tc_ingress\"}}");
    assert_eq!(shown(&page, &of("verified_instructions")), "64000");
    assert_eq!(shown(&page, &of("load_seconds")), "0.25");
    let text = page.text().unwrap();
    assert!(!text.contains("instructions{program=\"tc_egress\"}"));
}
