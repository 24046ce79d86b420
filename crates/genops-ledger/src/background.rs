//! For threads that follow behind the writer: they step back when processors are short.
//!
//! What they do can wait; a call that waits for its commit cannot.

/// Lowers the priority of the calling thread, if the system allows it. Without that it still works, only
/// with more waiting for others.
pub fn step_back() {
    // The least. Of what is still given, a follower that falls behind in a rush catches up after it.
    const NICE: i32 = 19;
    let this_thread = rustix::thread::gettid();
    // On Linux the priority is a thread's own, and a thread is named like a process.
    let _ = rustix::process::setpriority_process(Some(this_thread), NICE);
}
