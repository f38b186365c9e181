//! Names are looked up with what /etc/resolv.conf and /etc/hosts say at that moment. reqwest's own
//! resolver reads them once: a program that was started before the network was there, or before
//! its name servers moved, would not find the service until it is started again.

use std::net::SocketAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks anew for each connection; connections are kept, so that is seldom.
#[derive(Debug)]
pub(crate) struct SystemDns;

impl Resolve for SystemDns {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Without name servers there is /etc/hosts still.
            let (mut builder, unconfigured) = match TokioResolver::builder_tokio() {
                Ok(builder) => (builder, None),
                Err(error) => {
                    let (none, provider) =
                        (ResolverConfig::default(), TokioRuntimeProvider::default());
                    (
                        TokioResolver::builder_with_config(none, provider),
                        Some(error),
                    )
                }
            };
            builder.options_mut().ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
            let found = builder.build()?.lookup_ip(name.as_str()).await;
            let found = match (found, unconfigured) {
                (Err(_), Some(error)) => Err(format!("/etc/resolv.conf: {error}"))?,
                (found, _) => found?,
            };
            let addresses: Vec<SocketAddr> = found
                .iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
