//! Bodies against prost.
