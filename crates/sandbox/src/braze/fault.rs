//! What is wrong with one object of a request.

/// What is wrong with one object, in Braze's words.
pub(super) type Fault = String;
