//! An executor for the core's futures on the host's own thread.
//!
//! Most of what a host asks of the core can be answered at once, and what its own code does next answers much of the
//! rest: a poll that waits is answered by an emit. So the host's thread polls these futures itself, and no other has to
//! be woken for them. Futures that wait for another thread are woken by it: the task joins a queue, and the host is told
//! to look.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread, vec,
};

use parking_lot::Mutex;

/// Polls futures that come to a `T`, each under a key by which the host knows whom the output is for.
///
/// The host's thread [starts](Self::start) futures and, whenever it is woken, [runs](Self::run_ready) those that can go
/// on. Other threads only wake tasks.
///
/// ```
/// use ferrio_host::{Executor, Started};
///
/// # fn wake_the_event_loop() {}
/// # let poll = async { std::future::pending::<&str>().await };
/// let executor = Executor::new(wake_the_event_loop);
/// let _task = match executor.start(Box::pin(poll)) {
///     Started::Done(answer) => return println!("answered at once: {answer}"),
///     Started::Pending(pending) => pending.spawn("the first request"),
/// };
/// // Whenever the event loop was woken:
/// executor.run_ready(|task| {
///     if let Some((request, answer)) = task.poll() {
///         println!("answered {request}: {answer}");
///     }
/// });
/// ```
pub struct Executor<K, T>(Arc<Queue<K, T>>);

struct Queue<K, T> {
    woken: Mutex<Woken<K, T>>,
    /// Whether the host will look without being woken.
    is_awake: AtomicBool,
    n_tasks: AtomicUsize,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// The tasks that want to be polled.
struct Woken<K, T> {
    ready: Vec<Arc<Task<K, T>>>,
    /// Those that woke themselves while they were polled: they give way until the host's next turn.
    yielded: Vec<Arc<Task<K, T>>>,
    /// Whether nobody will ever run them. Tasks hold the queue, which must not hold them then.
    is_closed: bool,
}

/// What the first poll of a future came to.
#[derive(Debug)]
pub enum Started<K: Send + 'static, T: 'static> {
    /// It needed no more.
    Done(T),
    /// It has to wait.
    Pending(Pending<K, T>),
}

/// A future that waits for the first time. Dropped, it is given up.
pub struct Pending<K, T> {
    future: BoxFuture<T>,
    task: Arc<Task<K, T>>,
}

/// A future under way. Dropped, it is cancelled.
pub struct TaskHandle<K: Send + 'static, T: 'static>(Arc<Task<K, T>>);

/// A future, and its place in the queue.
pub struct Task<K, T> {
    state: Mutex<State<K, T>>,
    is_queued: AtomicBool,
    is_polled: AtomicBool,
    queue: Arc<Queue<K, T>>,
}

enum State<K, T> {
    /// Not begun, cancelled, or done.
    Over,
    Waiting(BoxFuture<T>, K),
    /// The host's thread polls it, without the lock: whatever the future calls may cancel it.
    Polled,
}

/// A future of the core.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<K: Send + 'static, T: 'static> Executor<K, T> {
    /// An executor without tasks. `wake` is called, by any thread, when the host should call
    /// [`run_ready`](Self::run_ready); not again until it has.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Queue {
            woken: Mutex::new(Woken { ready: Vec::new(), yielded: Vec::new(), is_closed: false }),
            is_awake: AtomicBool::new(false),
            n_tasks: AtomicUsize::new(0),
            wake: Box::new(wake),
        }))
    }

    /// Polls a future once. What waits goes on with [`Pending::spawn`].
    ///
    /// The future comes in its box, because that of a request is large: on its way here it would be copied again and
    /// again.
    pub fn start(&self, mut future: BoxFuture<T>) -> Started<K, T> {
        let task = Arc::new(Task {
            state: Mutex::new(State::Over),
            is_queued: AtomicBool::new(false),
            is_polled: AtomicBool::new(false),
            queue: self.0.clone(),
        });
        match poll(&mut future, &Waker::from(task.clone())) {
            Poll::Ready(output) => Started::Done(output),
            Poll::Pending => Started::Pending(Pending { future, task }),
        }
    }

    /// Calls `act` for the tasks that were woken, which polls them by [`Task::poll`], until there are none but those
    /// that woke themselves meanwhile. For these the host is woken again.
    pub fn run_ready(&self, mut act: impl FnMut(&Arc<Task<K, T>>)) {
        let queue = &*self.0;
        loop {
            queue.is_awake.store(true, Ordering::Release);
            let mut woken = queue.woken.lock();
            let ready = mem::take(&mut woken.ready);
            if ready.is_empty() && !woken.yielded.is_empty() {
                woken.ready = mem::take(&mut woken.yielded);
                drop(woken);
                (queue.wake)();
                return;
            }
            drop(woken);
            if ready.is_empty() {
                queue.is_awake.store(false, Ordering::Release);
                // One may have come between the look and the flag.
                if !self.has_ready() {
                    return;
                }
            }
            let mut turn = Turn { ready: ready.into_iter(), queue };
            for task in turn.ready.by_ref() {
                act(&task);
            }
        }
    }

    /// Says that [`run_ready`](Self::run_ready) will be called soon: the host need not be woken for it.
    pub fn stay_awake(&self) {
        self.0.is_awake.store(true, Ordering::Release);
    }

    /// Whether tasks wait to be polled.
    pub fn has_ready(&self) -> bool {
        let woken = self.0.woken.lock();
        !woken.ready.is_empty() || !woken.yielded.is_empty()
    }

    /// How many futures are under way.
    pub fn n_tasks(&self) -> usize {
        self.0.n_tasks.load(Ordering::Relaxed)
    }
}

impl<K, T> Drop for Executor<K, T> {
    fn drop(&mut self) {
        let mut woken = self.0.woken.lock();
        woken.is_closed = true;
        let tasks = (mem::take(&mut woken.ready), mem::take(&mut woken.yielded));
        drop(woken);
        drop(tasks);
    }
}

impl<K, T> fmt::Debug for Executor<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("n_tasks", &self.0.n_tasks).finish_non_exhaustive()
    }
}

/// One look at the queue. Should a poll panic, nothing else is lost by it.
struct Turn<'a, K: Send + 'static, T: 'static> {
    ready: vec::IntoIter<Arc<Task<K, T>>>,
    queue: &'a Queue<K, T>,
}

impl<K: Send + 'static, T: 'static> Drop for Turn<'_, K, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.queue.woken.lock().ready.extend(&mut self.ready);
            (self.queue.wake)();
        }
    }
}

impl<K: Send + 'static, T: 'static> Pending<K, T> {
    /// Keeps the future under a key, and has it polled whenever it is woken.
    pub fn spawn(self, key: K) -> TaskHandle<K, T> {
        let Self { future, task } = self;
        // Woken already or not, it is polled again by this thread only, after this.
        *task.state.lock() = State::Waiting(future, key);
        task.queue.n_tasks.fetch_add(1, Ordering::Relaxed);
        TaskHandle(task)
    }
}

impl<K, T> fmt::Debug for Pending<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").finish_non_exhaustive()
    }
}

impl<K: Send + 'static, T: 'static> TaskHandle<K, T> {
    /// Gives it up; nothing happens when it is done.
    pub fn cancel(&self) {
        let former = self.0.end();
        // Outside of the lock: what goes with the future may be anything.
        drop(former);
    }
}

impl<K: Send + 'static, T: 'static> Drop for TaskHandle<K, T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<K: Send + 'static, T: 'static> fmt::Debug for TaskHandle<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle").finish_non_exhaustive()
    }
}

impl<K: Send + 'static, T: 'static> Task<K, T> {
    /// Polls it. Returns its key and output when it has come to its end, unless it was cancelled.
    pub fn poll(self: &Arc<Self>) -> Option<(K, T)> {
        self.is_queued.store(false, Ordering::Release);
        let (mut future, key) = self.take()?;
        self.is_polled.store(true, Ordering::Release);
        let polled = poll(&mut future, &Waker::from(self.clone()));
        self.is_polled.store(false, Ordering::Release);
        match polled {
            Poll::Pending => {
                self.put_back(future, key);
                None
            }
            Poll::Ready(output) => {
                drop(future);
                self.end().is_some().then_some((key, output))
            }
        }
    }

    fn take(&self) -> Option<(BoxFuture<T>, K)> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Polled) {
            State::Waiting(future, key) => Some((future, key)),
            other => {
                *state = other;
                None
            }
        }
    }

    fn put_back(&self, future: BoxFuture<T>, key: K) {
        let mut state = self.state.lock();
        if matches!(*state, State::Polled) {
            *state = State::Waiting(future, key);
            return;
        }
        // Cancelled meanwhile.
        drop(state);
        drop((future, key));
    }

    /// Ends it, whatever it waits for. Returns its state, unless it had ended before.
    fn end(&self) -> Option<State<K, T>> {
        let former = mem::replace(&mut *self.state.lock(), State::Over);
        if matches!(former, State::Over) {
            return None;
        }
        self.queue.n_tasks.fetch_sub(1, Ordering::Relaxed);
        Some(former)
    }
}

impl<K: Send + 'static, T: 'static> Wake for Task<K, T> {
    fn wake(self: Arc<Self>) {
        if self.is_queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let queue = self.queue.clone();
        let gives_way = self.is_polled.load(Ordering::Acquire);
        let mut woken = queue.woken.lock();
        if woken.is_closed {
            return;
        }
        let list = if gives_way { &mut woken.yielded } else { &mut woken.ready };
        list.push(self);
        drop(woken);
        if !queue.is_awake.swap(true, Ordering::AcqRel) {
            (queue.wake)();
        }
    }
}

impl<K, T> fmt::Debug for Task<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("is_queued", &self.is_queued).finish_non_exhaustive()
    }
}

/// On the core's runtime, of whose timers and sockets its futures are.
fn poll<T>(future: &mut BoxFuture<T>, waker: &Waker) -> Poll<T> {
    let runtime = ferrio::runtime();
    let _entered = runtime.enter();
    future.as_mut().poll(&mut Context::from_waker(waker))
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, poll_fn, ready},
        panic::{AssertUnwindSafe, catch_unwind},
        sync::{
            Weak,
            mpsc::{Receiver, sync_channel},
        },
        time::Duration,
    };

    use tokio::sync::oneshot;

    use super::*;

    /// An executor, and what its host hears of it.
    fn executor() -> (Executor<u32, &'static str>, Receiver<()>) {
        let (sender, woken) = sync_channel(100);
        (Executor::new(move || sender.send(()).unwrap()), woken)
    }

    /// Has a future wait under a key.
    fn spawn(
        executor: &Executor<u32, &'static str>,
        key: u32,
        future: impl Future<Output = &'static str> + Send + 'static,
    ) -> TaskHandle<u32, &'static str> {
        match executor.start(Box::pin(future)) {
            Started::Pending(pending) => pending.spawn(key),
            Started::Done(output) => panic!("it had to wait, and has come to {output}"),
        }
    }

    fn run(executor: &Executor<u32, &'static str>) -> Vec<(u32, &'static str)> {
        let mut done = Vec::new();
        executor.run_ready(|task| done.extend(task.poll()));
        done
    }

    fn is_woken(woken: &Receiver<()>) -> bool {
        woken.recv_timeout(Duration::from_secs(10)).is_ok()
    }

    #[test]
    fn what_need_not_wait_is_done_by_its_start() {
        let (executor, woken) = executor();
        assert!(matches!(executor.start(Box::pin(ready("done"))), Started::Done("done")));
        assert_eq!(executor.n_tasks(), 0);
        assert!(woken.try_recv().is_err());
    }

    #[test]
    fn what_another_thread_wakes_goes_on_where_the_host_runs_it() {
        let (executor, woken) = executor();
        let (sender, receiver) = oneshot::channel();
        let home = thread::current().id();
        let _task = spawn(&executor, 7, async move {
            let text = receiver.await.unwrap();
            assert_eq!(thread::current().id(), home);
            text
        });
        assert_eq!((run(&executor), executor.n_tasks()), (vec![], 1));
        thread::spawn(move || sender.send("answer").unwrap()).join().unwrap();
        assert!(is_woken(&woken));
        assert!(executor.has_ready());
        assert_eq!((run(&executor), executor.n_tasks()), (vec![(7, "answer")], 0));
    }

    #[test]
    fn timers_of_the_runtime_wake_the_host() {
        let (executor, woken) = executor();
        let _task = spawn(&executor, 1, async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            "up"
        });
        assert!(is_woken(&woken));
        assert_eq!(run(&executor), [(1, "up")]);
    }

    #[test]
    fn the_host_is_woken_once_for_many_and_not_while_it_stays_awake() {
        let (executor, woken) = executor();
        let (senders, tasks): (Vec<_>, Vec<_>) = (0..3)
            .map(|key| {
                let (sender, receiver) = oneshot::channel();
                (sender, spawn(&executor, key, async move { receiver.await.unwrap() }))
            })
            .unzip();
        let mut senders = senders.into_iter();
        let mut send = || senders.next().expect("there is one more").send("x").unwrap();
        send();
        send();
        assert!(is_woken(&woken) && woken.try_recv().is_err());
        assert_eq!(run(&executor).len(), 2);
        executor.stay_awake();
        send();
        assert!(woken.try_recv().is_err());
        assert_eq!(run(&executor).len(), 1);
        drop(tasks);
    }

    #[test]
    fn what_wakes_itself_gives_way_until_the_next_turn() {
        let (executor, woken) = executor();
        let mut n_polls = 0;
        let _task = spawn(&executor, 1, async move {
            poll_fn(move |context| {
                n_polls += 1;
                context.waker().wake_by_ref();
                if n_polls < 3 { Poll::Pending } else { Poll::Ready("third") }
            })
            .await
        });
        assert_eq!(run(&executor), []);
        // By the start, and by what was run.
        assert!(is_woken(&woken) && is_woken(&woken) && executor.has_ready());
        assert_eq!(run(&executor), [(1, "third")]);
    }

    #[test]
    fn what_is_dropped_is_cancelled_also_while_it_is_polled() {
        let (executor, _woken) = executor();
        let held = Arc::new(());
        let kept = held.clone();
        let task = spawn(&executor, 1, async move {
            pending::<()>().await;
            drop(kept);
            "never"
        });
        assert_eq!((Arc::strong_count(&held), executor.n_tasks()), (2, 1));
        drop(task);
        assert_eq!((Arc::strong_count(&held), executor.n_tasks()), (1, 0));

        let slot = Arc::new(Mutex::new(None::<TaskHandle<_, _>>));
        let own = Arc::downgrade(&slot);
        let (sender, receiver) = oneshot::channel();
        let task = spawn(&executor, 2, async move {
            receiver.await.unwrap();
            let handle = Weak::upgrade(&own).and_then(|slot| slot.lock().take());
            drop(handle);
            "too late"
        });
        *slot.lock() = Some(task);
        sender.send(()).unwrap();
        assert_eq!((run(&executor), executor.n_tasks()), (vec![], 0));
    }

    #[test]
    fn nothing_is_left_of_an_executor_that_was_dropped_with_tasks() {
        let (executor, _woken) = executor();
        let (early, receiver) = oneshot::channel();
        let first = spawn(&executor, 1, async move { receiver.await.unwrap() });
        let (late, receiver) = oneshot::channel();
        let second = spawn(&executor, 2, async move { receiver.await.unwrap() });
        let queue = Arc::downgrade(&executor.0);
        early.send("before").unwrap();
        drop(executor);
        late.send("after").unwrap();
        drop((first, second));
        assert!(queue.upgrade().is_none());
    }

    #[test]
    fn a_panic_takes_nobody_elses_turn() {
        let (executor, woken) = executor();
        let (first, receiver) = oneshot::channel::<()>();
        let faulty = spawn(&executor, 1, async move {
            receiver.await.unwrap();
            panic!("a fault of the future")
        });
        let (second, receiver) = oneshot::channel();
        let _sound = spawn(&executor, 2, async move { receiver.await.unwrap() });
        first.send(()).unwrap();
        second.send("sound").unwrap();
        assert!(is_woken(&woken));
        catch_unwind(AssertUnwindSafe(|| run(&executor))).unwrap_err();
        assert!(is_woken(&woken));
        assert_eq!(run(&executor), [(2, "sound")]);
        drop(faulty);
        assert_eq!(executor.n_tasks(), 0);
    }
}
