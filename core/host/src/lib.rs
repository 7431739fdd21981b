//! What every host language needs, and no binding should own.
//!
//! A binding converts values and names things in its language's way. Whatever two bindings would write twice stands here.

#![forbid(unsafe_code)]

pub mod options;
