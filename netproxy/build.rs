//! Embeds the compiled programs, which `cargo xtask build-ebpf` has put under `target/ebpf/`.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=NETPROXY_EBPF");
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let built = if env::var_os("CARGO_FEATURE_OTHER_LAYOUT").is_some() {
        "../target/ebpf/netproxy-ebpf-other-layout"
    } else {
        "../target/ebpf/netproxy-ebpf"
    };
    let object = env::var_os("NETPROXY_EBPF").map_or_else(|| manifest.join(built), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("netproxy-ebpf");
    if let Err(error) = fs::copy(&object, &out) {
        println!(
            "cargo::error=the eBPF programs are not built ({}: {error}); run `cargo xtask build-ebpf`",
            object.display()
        );
    }
}
