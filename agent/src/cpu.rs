//! What the CPU does in hardware of what the agent does most: SHA-256 of every body, AES for TLS.

/// Instructions that ring looks for when the program starts, and whether they are there.
pub fn extensions() -> [(&'static str, bool); 2] {
    #[cfg(target_arch = "aarch64")]
    return [
        ("sha2", std::arch::is_aarch64_feature_detected!("sha2")),
        ("aes", std::arch::is_aarch64_feature_detected!("aes")),
    ];
    #[cfg(target_arch = "x86_64")]
    return [
        ("sha", std::arch::is_x86_feature_detected!("sha")),
        ("aes", std::arch::is_x86_feature_detected!("aes")),
    ];
    #[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
    [("sha2", false), ("aes", false)]
}

/// The names of those that are there, and a warning for each that is not.
pub fn report() -> String {
    let (found, missing): (Vec<_>, Vec<_>) = extensions().into_iter().partition(|it| it.1);
    for (name, _) in missing {
        tracing::warn!(
            "this CPU has no `{name}` instructions: shipping takes several times the CPU"
        );
    }
    let names: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
    names.join(" ")
}
