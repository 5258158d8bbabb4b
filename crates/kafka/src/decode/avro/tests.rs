//! Bodies against a second reader.
