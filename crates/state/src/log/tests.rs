//! What only a failing disk can show.
