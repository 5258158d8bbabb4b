//! The client against answers written by hand.
