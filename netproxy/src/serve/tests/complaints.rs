//! How often is complained.

use std::time::{Duration, Instant};

use crate::serve::complaints::Complaints;

#[test]
fn the_same_is_complained_of_once_a_minute_and_something_else_at_once() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut complaints = Complaints::new();

    let due = [
        ("a", 0),
        ("a", 1),
        ("b", 1),
        ("a", 59),
        ("a", 60),
        ("b", 60),
        ("b", 61),
    ]
    .map(|(cause, seconds)| complaints.is_due(cause, at(seconds)));

    assert_eq!(due, [true, false, true, false, true, false, true]);
}
