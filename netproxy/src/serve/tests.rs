//! Tests of what those who ask are told.
