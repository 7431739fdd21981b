//! What the core asks and the application has yet to answer.

use ahash::HashMap;
use ferrio::Answer;

/// Questions by number, for hosts whose application answers later.
///
/// Some it never answers. Those whose asker has gone meanwhile are looked for whenever there are twice as many as after
/// the last look, so there are never more than twice as many as clients that wait.
#[derive(Debug)]
pub struct Questions<T> {
    answers: HashMap<u64, Answer<T>>,
    n_asked: u64,
    look_at: usize,
}

/// So few questions are not worth a look.
const FEW: usize = 64;

impl<T> Questions<T> {
    /// Keeps a question. Returns its number, which is never used again.
    pub fn ask(&mut self, answer: Answer<T>) -> u64 {
        if self.answers.len() >= self.look_at {
            self.drop_abandoned();
        }
        self.n_asked += 1;
        self.answers.insert(self.n_asked, answer);
        self.n_asked
    }

    /// Answers a question, unless that has been done. Returns whether anybody waits for it still.
    pub fn answer(&mut self, question: u64, decision: T) -> bool {
        let Some(answer) = self.answers.remove(&question) else { return false };
        let is_awaited = !answer.is_abandoned();
        answer.send(decision);
        is_awaited
    }

    /// How many questions somebody waits for.
    pub fn n_open(&mut self) -> usize {
        self.drop_abandoned();
        self.answers.len()
    }

    fn drop_abandoned(&mut self) {
        self.answers.retain(|_, answer| !answer.is_abandoned());
        self.look_at = (2 * self.answers.len()).max(FEW);
    }
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self { answers: HashMap::default(), n_asked: 0, look_at: FEW }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferrio::{Admitted, Config, Events, HostEvent, RequestHead, Server};
    use http::{HeaderMap, Method, StatusCode, Uri};

    use super::*;
    use crate::{ByteChannel, Executor, RequestBody, Started, TaskHandle};

    type Decision = Result<Admitted, ferrio::Refusal>;
    type Status = (StatusCode, String);

    /// Has a client ask for a session, which waits for the application's word.
    fn knock(server: &Server, executor: &Executor<(), Status>) -> TaskHandle<(), Status> {
        let target = Uri::from_static("/socket.io/?EIO=4&transport=polling");
        let head = RequestHead::new(Method::GET, target, HeaderMap::new(), None);
        let (server, body) = (server.clone(), RequestBody::new(Arc::new(ByteChannel::ended()), || {}));
        let started = executor.start(Box::pin(async move {
            let response = server.engine().handle(head, body).await;
            (response.status(), String::from_utf8_lossy(response.body()).into_owned())
        }));
        let Started::Pending(pending) = started else { panic!("the application is asked first") };
        pending.spawn(())
    }

    fn ask(events: &Events, questions: &mut Questions<Decision>) -> u64 {
        let mut batch = Vec::new();
        events.drain(1, &mut batch);
        match batch.pop() {
            Some(HostEvent::Request { answer, .. }) => questions.ask(answer),
            other => panic!("a request was expected, not {other:?}"),
        }
    }

    #[test]
    fn a_question_is_answered_once_and_dropped_when_its_asker_has_gone() {
        let config = Config { ask_allow_request: true, ..Config::default() };
        let (server, events) = Server::new(config, || {}).unwrap();
        let executor = Executor::new(|| {});
        let mut questions = Questions::default();

        let _task = knock(&server, &executor);
        let first = ask(&events, &mut questions);
        assert_eq!(questions.n_open(), 1);
        assert!(questions.answer(first, Err(ferrio::Refusal::forbidden("not today".to_owned()))));
        assert!(!questions.answer(first, Ok(Admitted::default())), "once");
        let mut answers = Vec::new();
        executor.run_ready(|task| answers.extend(task.poll()));
        let [((), (status, text))] = &answers[..] else { panic!("one answer was expected") };
        assert!(*status == StatusCode::FORBIDDEN && text.contains("not today"), "{status} {text}");

        let task = knock(&server, &executor);
        let second = ask(&events, &mut questions);
        assert_ne!(first, second);
        drop(task);
        assert_eq!(questions.n_open(), 0);
        assert!(!questions.answer(second, Ok(Admitted::default())));
        server.close();
    }
}
