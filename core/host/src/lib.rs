//! What every host language needs, and no binding should own.
//!
//! A binding converts values and names things in its language's way. Whatever two bindings would write twice stands here.
#![deny(unsafe_code)]

mod descriptor;
mod memory;

pub use descriptor::duplicate;
pub use memory::give_memory_back;
