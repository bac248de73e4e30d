//! The lab itself, without netproxy: what the other tests take for granted.

mod agent;
mod end;
mod places;
mod reach;
mod traffic;
