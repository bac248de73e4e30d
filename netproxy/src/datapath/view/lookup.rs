//! Single entries, as the programs look them up.

use std::net::{IpAddr, SocketAddr};

use netproxy_common::{AddressFlags, Be16, Frontend, FrontendKey, FrontendKind, Ipv4, Ipv6};

use super::View;
use crate::datapath::encode::Encode;
use crate::datapath::{DatapathError, FrontendEntry, batch};
use crate::model::Protocol;

impl View {
    /// What an address means to this node.
    pub fn meaning_of(&self, address: IpAddr) -> Result<AddressFlags, DatapathError> {
        let found = if let Some(v4) = Ipv4::from_ip(&address) {
            self.look_up("ADDRESSES_V4", &v4)?
        } else {
            let v6 = Ipv6::from_ip(&address).unwrap_or(Ipv6::new([0; 16]));
            self.look_up("ADDRESSES_V6", &v6)?
        };
        Ok(found.unwrap_or(AddressFlags { bits: 0 }))
    }

    /// The frontend that packets to this place ask for (`service::frontend` of the programs).
    pub fn frontend_at(
        &self,
        place: SocketAddr,
        protocol: Protocol,
    ) -> Result<Option<FrontendEntry>, DatapathError> {
        let meaning = self.meaning_of(place.ip())?;
        let mut found = None;
        if meaning.has(AddressFlags::CLUSTER_IP | AddressFlags::VIP) {
            found = self.exact_frontend(place.ip(), Some(place.ip()), place.port(), protocol)?;
        }
        if found.is_none() && meaning.has(AddressFlags::NODE_PORTS) {
            found = self.exact_frontend(place.ip(), None, place.port(), protocol)?;
        }
        Ok(found)
    }

    fn exact_frontend(
        &self,
        like: IpAddr,
        address: Option<IpAddr>,
        port: u16,
        protocol: Protocol,
    ) -> Result<Option<FrontendEntry>, DatapathError> {
        fn key<A>(address: A, port: u16, protocol: Protocol) -> FrontendKey<A> {
            FrontendKey {
                address,
                port: Be16::new(port),
                protocol: protocol.number(),
                pad: 0,
            }
        }
        let frontend: Option<Frontend> = if like.is_ipv4() {
            let at = address.as_ref().and_then(Ipv4::from_ip);
            let at = at.unwrap_or(Ipv4::new([0; 4]));
            self.look_up("FRONTENDS_V4", &key(at, port, protocol))?
        } else {
            let at = address.as_ref().and_then(Ipv6::from_ip);
            let at = at.unwrap_or(Ipv6::new([0; 16]));
            self.look_up("FRONTENDS_V6", &key(at, port, protocol))?
        };
        Ok(frontend.and_then(|frontend| {
            Some(FrontendEntry {
                address,
                port,
                protocol,
                kind: FrontendKind::from_u8(frontend.kind)?,
                service: frontend.service,
            })
        }))
    }

    fn look_up<K: bytemuck::Pod, V: bytemuck::Pod>(
        &self,
        name: &'static str,
        key: &K,
    ) -> Result<Option<V>, DatapathError> {
        batch::look_up(&self.pins.open(name)?, key).map_err(DatapathError::map(name, "read"))
    }
}
