//! A function of JavaScript that any thread may have called.
//!
//! napi's own `ThreadsafeFunction` comes with a second one, made as the library is loaded and never released, for buffers
//! that end on other threads. Nothing here sends a buffer to another thread, and tools that look for open handles (jest's
//! `--detectOpenHandles`) would report both.

use std::{ffi::c_void, ptr, sync::Arc};

use napi::{
    Env, Error, JsValue, Result, Status,
    bindgen_prelude::{Function, Object},
    sys,
};
use napi_sys::{ThreadsafeFunctionCallMode, ThreadsafeFunctionReleaseMode};
use parking_lot::Mutex;

/// Has a function called on the thread of JavaScript. It does not keep the process alive.
pub(crate) struct WakeFunction {
    handle: Arc<Mutex<Handle>>,
}

/// `None` once Node has been told that no call will follow, or has said itself that its environment ends.
type Handle = Option<RawFunction>;

struct RawFunction(sys::napi_threadsafe_function);

#[expect(unsafe_code, reason = "a pointer of Node's")]
// SAFETY: Node allows calling and releasing it on any thread.
unsafe impl Send for RawFunction {}

#[expect(unsafe_code, reason = "Node-API")]
impl WakeFunction {
    /// `resource` is what the process's async hooks see of it.
    pub(crate) fn new(env: Env, function: &Function<'_, (), ()>, resource: &Object<'_>) -> Result<Self> {
        let name = env.create_string(NAME)?;
        let handle = Arc::new(Mutex::new(None));
        let for_finalizer = Arc::into_raw(handle.clone()).cast_mut().cast::<c_void>();
        let mut raw = ptr::null_mut();
        // SAFETY: the values belong to this environment and this call; the finalizer takes what `for_finalizer` points to.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                function.raw(),
                resource.raw(),
                name.raw(),
                NO_LIMIT,
                N_OWNERS,
                for_finalizer,
                Some(finalize),
                ptr::null_mut(),
                None,
                &raw mut raw,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: Node has not taken the pointer, which came from `into_raw`.
            drop(unsafe { Arc::from_raw(for_finalizer.cast::<Mutex<Handle>>()) });
            return Err(Error::new(Status::from(status), "the library cannot call JavaScript"));
        }
        *handle.lock() = Some(RawFunction(raw));
        // SAFETY: it was made above, in this environment. This fails for neither.
        unsafe { sys::napi_unref_threadsafe_function(env.raw(), raw) };
        Ok(Self { handle })
    }

    /// Has it called soon. Does nothing once it has been released, or its environment has ended.
    pub(crate) fn call(&self) {
        let mut handle = self.handle.lock();
        let Some(RawFunction(raw)) = &*handle else { return };
        // SAFETY: it is neither released nor finalized as long as the handle has it.
        let status = unsafe {
            sys::napi_call_threadsafe_function(*raw, ptr::null_mut(), ThreadsafeFunctionCallMode::nonblocking)
        };
        if status == sys::Status::napi_closing {
            // By this answer Node has taken it back.
            *handle = None;
        }
    }

    /// Lets go of JavaScript: no call follows.
    pub(crate) fn release(&self) {
        if let Some(RawFunction(raw)) = self.handle.lock().take() {
            // SAFETY: it had not been released, and nobody finds it in the handle any more.
            unsafe { sys::napi_release_threadsafe_function(raw, ThreadsafeFunctionReleaseMode::release) };
        }
    }
}

/// Node calls it last, on the thread of JavaScript: when the function was released, or as the environment ends.
#[expect(unsafe_code, reason = "Node-API")]
unsafe extern "C" fn finalize(_env: sys::napi_env, handle: *mut c_void, _hint: *mut c_void) {
    // SAFETY: it came from `into_raw` in `new`, and Node calls this once.
    let handle = unsafe { Arc::from_raw(handle.cast::<Mutex<Handle>>()) };
    handle.lock().take();
}

/// What async hooks call such a resource.
const NAME: &str = "ferrio_threadsafe_function";

/// Calls are few: the core makes one only when JavaScript has nothing left to drain.
const NO_LIMIT: usize = 0;

/// The [`WakeFunction`].
const N_OWNERS: usize = 1;
