//! Functions that the verifier walks by themselves, once, and not anew from every call: the kernel's
//! global functions (`do_check_subprogs` in kernel/bpf/verifier.c). Walked at each call, the flow table
//! alone would be most of what a hook costs to load.
//!
//! Such a function must be exported by name, is given pointers to initialised memory, each of which
//! it must take for absent, or the hook's context, and yields a number of which the verifier knows nothing.

/// Makes `name<F>(references, numbers) -> u32` for both families, which runs `body<F>` exported under
/// a name for each. `ref key: FlowKey` stands for `key: &FlowKey<F::Address>`, `mut` for `&mut`, and
/// `name[skb]` for a first argument that is the hook's context.
macro_rules! separate {
    ($(
        $(#[$doc:meta])*
        $visibility:vis fn $name:ident$([$skb:ident])?($($access:ident $pointer:ident: $type:ident),+ $(; $($number:ident),+)?)
            = $body:ident as $v4:ident, $v6:ident;
    )+) => {$(
        $(#[$doc])*
        #[inline(always)]
        $visibility fn $name<F: $crate::family::Family>(
            $($skb: *mut aya_ebpf::bindings::__sk_buff,)?
            $($pointer: $crate::separate::reference!($access $type<F::Address>),)+
            $($($number: u32,)+)?
        ) -> u32 {
            $(let $pointer = core::ptr::from_ref($pointer).cast_mut();)+
            if F::AF == <$crate::family::V4 as $crate::family::Family>::AF {
                $v4($($skb,)? $($pointer.cast(),)+ $($($number,)+)?)
            } else {
                $v6($($skb,)? $($pointer.cast(),)+ $($($number,)+)?)
            }
        }

        $crate::separate::exported! {
            $v4: $crate::family::V4, netproxy_common::Ipv4, $body,
            [$($skb)?], [$($access $pointer: $type),+], [$($($number),+)?]
        }
        $crate::separate::exported! {
            $v6: $crate::family::V6, netproxy_common::Ipv6, $body,
            [$($skb)?], [$($access $pointer: $type),+], [$($($number),+)?]
        }
    )+};
}

macro_rules! exported {
    ($name:ident: $family:ty, $address:ty, $body:ident,
     [$($skb:ident)?], [$($access:ident $pointer:ident: $type:ident),+], [$($number:ident),*]) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(
            $($skb: *mut aya_ebpf::bindings::__sk_buff,)?
            $($pointer: *mut $type<$address>,)+
            $($number: u32,)*
        ) -> u32 {
            // SAFETY: the verifier checks at each call that they point to as much memory as their
            // types need; `separate` takes them by reference, and each is used as it was taken.
            match unsafe { ($($crate::separate::borrow!($access $pointer),)+) } {
                ($(Some($pointer),)+) => $body::<$family>($($skb,)? $($pointer,)+ $($number,)*),
                _ => 0,
            }
        }
    };
}

/// Makes `name<F, L2>(packet, headers, numbers) -> u32` for both families and with and without a link
/// layer, which runs `body<F, L2>` exported under a name for each. `ref headers` and `mut headers` as above.
macro_rules! separate_packet {
    ($(
        $(#[$doc:meta])*
        $visibility:vis fn $name:ident(packet, $access:ident headers $(; $($number:ident),+)?)
            = $body:ident as $v4:ident, $v6:ident, $v4_l3:ident, $v6_l3:ident;
    )+) => {$(
        $(#[$doc])*
        #[inline(always)]
        $visibility fn $name<F: $crate::icmp::Icmp, const L2: usize>(
            packet: $crate::packet::Skb<L2>,
            headers: $crate::separate::reference!($access $crate::packet::Headers<F>),
            $($($number: u32,)+)?
        ) -> u32 {
            let (skb, headers) = (packet.skb(), core::ptr::from_ref(headers).cast_mut());
            let is_v4 = F::AF == <$crate::family::V4 as $crate::family::Family>::AF;
            match (is_v4, L2 == $crate::packet::ETHERNET) {
                (true, true) => $v4(skb, headers.cast(), $($($number,)+)?),
                (false, true) => $v6(skb, headers.cast(), $($($number,)+)?),
                (true, false) => $v4_l3(skb, headers.cast(), $($($number,)+)?),
                (false, false) => $v6_l3(skb, headers.cast(), $($($number,)+)?),
            }
        }

        $crate::separate::exported_packet! {
            $v4: $crate::family::V4, $crate::packet::ETHERNET, $access, $body, [$($($number),+)?]
        }
        $crate::separate::exported_packet! {
            $v6: $crate::family::V6, $crate::packet::ETHERNET, $access, $body, [$($($number),+)?]
        }
        $crate::separate::exported_packet! {
            $v4_l3: $crate::family::V4, $crate::packet::NO_LINK_LAYER, $access, $body, [$($($number),+)?]
        }
        $crate::separate::exported_packet! {
            $v6_l3: $crate::family::V6, $crate::packet::NO_LINK_LAYER, $access, $body, [$($($number),+)?]
        }
    )+};
}

macro_rules! exported_packet {
    ($name:ident: $family:ty, $l2:expr, $access:ident, $body:ident, [$($number:ident),*]) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(
            skb: *mut aya_ebpf::bindings::__sk_buff,
            headers: *mut $crate::packet::Headers<$family>,
            $($number: u32,)*
        ) -> u32 {
            // SAFETY: as for `exported`; the caller has filled them in.
            match unsafe { $crate::separate::borrow!($access headers) } {
                Some(headers) => $body::<$family, { $l2 }>(
                    $crate::packet::Skb::new(skb),
                    headers,
                    $($number,)*
                ),
                None => 0,
            }
        }
    };
}

macro_rules! reference {
    (ref $type:ty) => {
        &$type
    };
    (mut $type:ty) => {
        &mut $type
    };
}

macro_rules! borrow {
    (ref $pointer:ident) => {
        $pointer.as_ref()
    };
    (mut $pointer:ident) => {
        $pointer.as_mut()
    };
}

pub(crate) use {borrow, exported, exported_packet, reference, separate, separate_packet};
