//! The two connections, and the thread that serves them.
//!
//! One connection carries the worker's calls and the notifications. The other one carries everything else, so renewals do not
//! wait behind submissions. Each is opened at its first call. A lost one is opened again, with a growing pause between attempts.

use std::collections::BTreeSet;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Connection, NoTls, Socket};

use super::fault::{self, Fault};
use super::url::{Tls, Url};
use super::wake_up;
use crate::engine::error::EngineError;
use crate::engine::{Notice, Reply};
use crate::platform;
use crate::util::sync::{AtomicBool, Mutex, Ordering, Token};

/// How long a call takes at most, with the wait for a connection.
const LIMIT: Duration = Duration::from_secs(5);
/// The first pause after an attempt to connect that failed, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Which connection a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Work,
    Other,
}

/// Whether a call whose connection was lost may be made again. One that creates or takes something may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Yes,
    No,
}

/// A handle of the thread. The thread ends when the handle is dropped.
pub(super) struct Link {
    handle: Handle,
    work: Arc<Line>,
    other: Arc<Line>,
    stop: Token,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.work.url)
            .field("is_reachable", &self.is_reachable())
            .finish_non_exhaustive()
    }
}

/// One connection, while there is one.
pub(super) struct Line {
    url: Url,
    /// Whether there was a call since the start, or since the last `close`.
    wanted: watch::Sender<bool>,
    state: watch::Sender<State>,
    /// Ends the connection.
    reset: Notify,
    is_reachable: AtomicBool,
    /// The tasks to listen for. It stays empty in a process that does not claim.
    listened: Mutex<BTreeSet<Arc<str>>>,
    notices: broadcast::Sender<Notice>,
}

#[derive(Clone)]
enum State {
    /// There is no connection, for this reason.
    Down(Arc<str>),
    Up(Arc<Client>),
}

impl Link {
    pub(super) fn start(url: &Url, notices: &broadcast::Sender<Notice>) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let line = || {
            Arc::new(Line {
                url: url.clone(),
                wanted: watch::Sender::new(false),
                state: watch::Sender::new(State::Down("it is not connected yet".into())),
                reset: Notify::new(),
                is_reachable: AtomicBool::new(true),
                listened: Mutex::default(),
                notices: notices.clone(),
            })
        };
        let link = Self {
            handle: runtime.handle().clone(),
            work: line(),
            other: line(),
            stop: Token::new(),
        };
        runtime.spawn(link.work.clone().keep_connected());
        runtime.spawn(link.other.clone().keep_connected());
        let stop = link.stop.clone();
        std::thread::Builder::new()
            .name("agentcore-postgres".to_owned())
            .spawn(move || {
                platform::step_back();
                runtime.block_on(stop.cancelled());
            })?;
        Ok(link)
    }

    pub(super) fn is_reachable(&self) -> bool {
        [&self.work, &self.other]
            .iter()
            .all(|line| line.is_reachable.load(Ordering::Relaxed))
    }

    /// Closes both connections until the next call.
    pub(super) fn close(&self) {
        for line in [&self.work, &self.other] {
            line.wanted.send_replace(false);
            line.reset.notify_waiters();
        }
    }

    /// Sends a call to the thread. The call goes on if the future of the answer is dropped.
    pub(super) fn call<'a, T, F>(
        &self,
        lane: Lane,
        again: Again,
        call: impl Fn(Arc<Client>, Arc<Line>) -> F + Send + Sync + 'static,
    ) -> Reply<'a, T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let line = match lane {
            Lane::Work => self.work.clone(),
            Lane::Other => self.other.clone(),
        };
        let made = self
            .handle
            .spawn(async move { line.call(again, call).await });
        Box::pin(async move {
            made.await.unwrap_or_else(|_| {
                Err(EngineError::Unreachable(
                    "the thread of the connections has ended".to_owned(),
                ))
            })
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Line {
    async fn call<T, F>(
        self: Arc<Self>,
        again: Again,
        call: impl Fn(Arc<Client>, Arc<Self>) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        self.wanted
            .send_if_modified(|wanted| !std::mem::replace(wanted, true));
        let mut is_sent = false;
        let answer = async {
            loop {
                let client = self.client().await;
                is_sent = true;
                let answer = call(client, self.clone()).await;
                if matches!(answer, Err(Fault::ReadOnly(_))) {
                    self.reset.notify_waiters();
                }
                match answer {
                    Ok(answer) => return Ok(answer),
                    Err(Fault::Other(error)) => return Err(error),
                    Err(Fault::NoQueue) => {
                        return Err(EngineError::Schema(
                            "a queue of the database has gone".to_owned(),
                        ));
                    }
                    Err(Fault::Lost(why) | Fault::ReadOnly(why)) if again == Again::No => {
                        return Err(self.lost(&why));
                    }
                    Err(Fault::Lost(_) | Fault::ReadOnly(_)) => {
                        // The loss may not have been noticed yet.
                        sleep(PAUSES.0).await;
                        is_sent = false;
                    }
                }
            }
        };
        let answer = match timeout(LIMIT, answer).await {
            Ok(answer) => answer,
            Err(_) if is_sent => {
                // Later calls would wait for this one. The server would go on with it, because it does not notice that the
                // connection is closed.
                if let State::Up(client) = &*self.state.borrow() {
                    let cancel = cancel_statement(self.url.tls.clone(), client.cancel_token());
                    tokio::spawn(cancel);
                }
                self.reset.notify_waiters();
                Err(self.lost("it does not answer"))
            }
            Err(_) => {
                let State::Down(why) = self.state.borrow().clone() else {
                    return Err(self.lost("the connection was lost"));
                };
                Err(self.lost(&why))
            }
        };
        // Every other answer comes from a server that works, whatever has failed before.
        let is_reachable = !matches!(&answer, Err(EngineError::Unreachable(_)));
        self.is_reachable.store(is_reachable, Ordering::Relaxed);
        answer
    }

    fn lost(&self, why: &str) -> EngineError {
        EngineError::Unreachable(format!("{}: {why}", self.url))
    }

    /// The connection, once there is one.
    async fn client(&self) -> Arc<Client> {
        let mut state = self.state.subscribe();
        loop {
            match &*state.borrow_and_update() {
                State::Up(client) if !client.is_closed() => return client.clone(),
                _ => {}
            }
            // The sender is in `self`.
            let _ = state.changed().await;
        }
    }

    /// Connects whenever there is no connection and one is wanted.
    async fn keep_connected(self: Arc<Self>) {
        let mut wanted = self.wanted.subscribe();
        let mut pause = PAUSES.0;
        let mut is_first = true;
        loop {
            let _ = wanted.wait_for(|wanted| *wanted).await;
            let why = match self
                .clone()
                .connect_and_serve(&mut is_first, &mut pause)
                .await
            {
                Ok(()) => continue,
                Err(why) => why,
            };
            self.is_reachable.store(false, Ordering::Relaxed);
            self.state.send_replace(State::Down(why.into()));
            // Half of it is random, so that processes do not connect again together.
            let half = pause / 2;
            let random = platform::random_number() % (half.as_millis() as u64 + 1);
            sleep(half + Duration::from_millis(random)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Connects, and serves the connection until it ends.
    async fn connect_and_serve(
        self: Arc<Self>,
        is_first: &mut bool,
        pause: &mut Duration,
    ) -> Result<(), String> {
        match self.url.tls.connector()? {
            None => {
                let (client, connection) = connect(&self.url, NoTls).await?;
                *pause = PAUSES.0;
                self.serve(client, connection, is_first).await
            }
            Some(tls) => {
                let (client, connection) = connect(&self.url, tls).await?;
                *pause = PAUSES.0;
                self.serve(client, connection, is_first).await
            }
        }
    }

    async fn serve<S, T>(
        self: Arc<Self>,
        client: Client,
        mut connection: Connection<S, T>,
        is_first: &mut bool,
    ) -> Result<(), String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let client = Arc::new(client);
        let mut reset = pin!(self.reset.notified());
        reset.as_mut().enable();
        self.is_reachable.store(true, Ordering::Relaxed);
        self.state.send_replace(State::Up(client.clone()));
        let again = !std::mem::replace(is_first, false);
        let listen = self.clone().listen_again(client, again);
        tokio::spawn(listen);
        loop {
            let message = tokio::select! {
                message = poll_fn(|context| connection.poll_message(context)) => message,
                () = reset.as_mut() => {
                    self.state.send_replace(State::Down("it was closed".into()));
                    return Ok(());
                }
            };
            match message {
                Some(Ok(AsyncMessage::Notification(sent))) => {
                    if let Some(notice) = wake_up::notice(sent.channel(), sent.payload()) {
                        let _ = self.notices.send(notice);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(fault::text(&error)),
                None => return Err("the connection was closed".to_owned()),
            }
        }
    }

    /// Listens for all tasks on a new connection.
    async fn listen_again(self: Arc<Self>, client: Arc<Client>, again: bool) {
        let tasks: Vec<_> = self.listened.lock().iter().cloned().collect();
        let statements: String = tasks.iter().map(|task| wake_up::listen(task)).collect();
        if !statements.is_empty() {
            // Without it, the worker polls.
            let _ = client.batch_execute(&statements).await;
        }
        if again {
            let _ = self.notices.send(Notice::Reconnected);
        }
    }

    /// Listens for a task from now on.
    pub(super) async fn listen(&self, client: &Client, task: &Arc<str>) -> Result<(), Fault> {
        let is_new = self.listened.lock().insert(task.clone());
        if is_new {
            client.batch_execute(&wake_up::listen(task)).await?;
        }
        Ok(())
    }

    pub(super) fn notice(&self, notice: Notice) {
        let _ = self.notices.send(notice);
    }
}

/// Connects with a time limit for statements. Where the server takes none, it connects without.
async fn connect<T>(url: &Url, tls: T) -> Result<(Client, Connection<Socket, T::Stream>), String>
where
    T: MakeTlsConnect<Socket> + Clone,
{
    let late = |_| "it does not answer".to_owned();
    let first = timeout(LIMIT, url.config.connect(tls.clone())).await;
    let connected = match first.map_err(late)? {
        Err(error) if error.code() == Some(&SqlState::PROTOCOL_VIOLATION) => {
            let second = timeout(LIMIT, url.without_limit.connect(tls)).await;
            second.map_err(late)?
        }
        connected => connected,
    };
    connected.map_err(|error| fault::text(&error))
}

/// Asks the server to end the statement that runs on a connection.
async fn cancel_statement(tls: Tls, token: CancelToken) {
    // If it fails, the server's own limit ends the statement.
    let cancelled = async {
        match tls.connector() {
            Ok(None) => token.cancel_query(NoTls).await.is_ok(),
            Ok(Some(tls)) => token.cancel_query(tls).await.is_ok(),
            Err(_) => false,
        }
    };
    let _ = timeout(LIMIT, cancelled).await;
}
