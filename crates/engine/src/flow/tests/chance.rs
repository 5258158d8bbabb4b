//! The loop under chance.
