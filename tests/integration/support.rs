//! Real agents in their own processes, and a client that shows every byte.

// The path is given because another suite includes this file by its path.
#[path = "support/websocket.rs"]
pub(crate) mod websocket;

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// How long a test waits for anything. It bounds a test that fails, and a busy machine may need much of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The pause between two checks of a test that waits for a state. Without it, the checks would take a processor from the
/// agent that they wait for.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Checks until `condition` holds. It has to hold within `limit`.
pub(crate) fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < limit, "waited too long until {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// An agent in its own process, which is killed when the test is over.
pub(crate) struct Agent {
    child: Child,
    address: SocketAddr,
    ready: String,
    /// The lines on stderr before the ready line.
    log_of_start: String,
    stderr: Receiver<String>,
    /// The connection for the requests of a running [`Agent::until`].
    observer: RefCell<Option<Observer>>,
}

impl Agent {
    /// Starts `binary` on a free port and waits until it says that it is ready.
    pub(crate) fn start(binary: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_command(Command::new(binary), environment)
    }

    /// Starts `command`, which starts an agent, on a free port and waits until the agent says that it is ready.
    pub(crate) fn start_command(command: Command, environment: &[(&str, &str)]) -> Self {
        let binary = format!("{command:?}");
        Self::started(&binary, spawn_command(command, environment))
    }

    /// Starts a program as a service manager does, with `descriptors` from 3 on.
    #[cfg(unix)]
    pub(crate) fn start_passing(
        command: &Command,
        descriptors: Vec<std::os::fd::OwnedFd>,
        environment: &[(&str, &str)],
    ) -> Self {
        let binary = format!("{command:?}");
        Self::started(&binary, spawn_passing(command, descriptors, environment))
    }

    /// Waits until a program says that it is ready.
    fn started(binary: &str, (mut child, stderr): (Child, Receiver<String>)) -> Self {
        let deadline = Instant::now() + DEADLINE;
        let mut seen = String::new();
        loop {
            let Ok(line) = stderr.recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                let _ = child.kill();
                panic!("{binary} did not become ready; its stderr:\n{seen}");
            };
            if let Some(address) = ready_at(&line) {
                return Self {
                    child,
                    address,
                    ready: line,
                    log_of_start: seen,
                    stderr,
                    observer: RefCell::new(None),
                };
            }
            seen.push_str(&line);
            seen.push('\n');
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line with which it said that it was ready.
    pub(crate) fn ready_line(&self) -> &str {
        &self.ready
    }

    /// The lines on stderr before the ready line.
    pub(crate) fn log_of_start(&self) -> &str {
        &self.log_of_start
    }

    /// The address of its admin port.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let address = self.ready.split("admin http://").nth(1);
        let address = address.and_then(|rest| rest.split(['"', ' ']).next()?.parse().ok());
        address.unwrap_or_else(|| panic!("no admin port in {}", self.ready))
    }

    /// Opens a connection that sends bytes as they are.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Gets a path, as [`Agent::ask`] does.
    pub(crate) fn get(&self, path: &str) -> Reply {
        self.ask(&get(path))
    }

    /// Invokes, as [`Agent::ask`] does.
    pub(crate) fn post(&self, body: impl AsRef<[u8]>) -> Reply {
        self.ask(&post(body.as_ref()))
    }

    /// Sends a request and reads its reply, on a new connection. Within [`Agent::until`], it uses the connection that all
    /// checks share.
    pub(crate) fn ask(&self, request: &[u8]) -> Reply {
        match &mut *self.observer.borrow_mut() {
            Some(observer) => observer.ask(request),
            None => self.connect().send(request).reply(),
        }
    }

    /// A connection on which the reply to `request` arrives.
    ///
    /// An agent with a short `AGENTCORE_HEADER_TIMEOUT` may close a connection before a test on a busy machine has sent
    /// anything. The request then goes over a new one.
    pub(crate) fn answering(&self, request: &[u8]) -> Client {
        let mut answering = None;
        wait_until(DEADLINE, "the request comes in time", || {
            let mut client = self.connect().try_send(request);
            answering = client.is_answered().then_some(client);
            answering.is_some()
        });
        answering.expect("a client")
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "what `json!` makes is passed on as it is"
    )]
    pub(crate) fn invoke(&self, event: Value) -> Reply {
        self.post(event.to_string())
    }

    /// Invokes on another thread; the reply is collected by `join`.
    pub(crate) fn invoke_later(&self, event: Value) -> std::thread::JoinHandle<Reply> {
        let address = self.address;
        std::thread::spawn(move || {
            Client::connect(address)
                .send_post(event.to_string().as_bytes())
                .reply()
        })
    }

    pub(crate) fn ping(&self) -> Ping {
        Ping::of(&self.get("/ping"))
    }

    /// Asks the agent for its tasks, with its own `status` action. The question is an invocation: it is not a task, but the agent
    /// is busy with it.
    pub(crate) fn tasks(&self) -> Value {
        self.invoke(json!({ "action": "status" })).json()
    }

    /// Waits until `condition` holds.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        self.until_within(DEADLINE, what, condition);
    }

    /// Waits until `condition` holds, which has to happen within `limit`.
    ///
    /// All requests of `condition` go over one connection, which ends with the wait: a connection for each check would change the
    /// descriptors and connections that many tests count.
    pub(crate) fn until_within(
        &self,
        limit: Duration,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) {
        let outer = self.observer.replace(Some(Observer::new(self.address)));
        wait_until(limit, what, || condition(self));
        self.observer.replace(outer);
    }

    /// Waits until the agent is idle. It only pings, which does not make an agent busy.
    pub(crate) fn until_idle(&self) {
        self.until("the agent is idle", |agent| !agent.ping().busy);
    }

    /// Waits until `count` tasks run. The checks are invocations, which are not counted among the tasks. If the agent has to be
    /// idle at the end, use [`Agent::until_idle`], which does not make it busy.
    pub(crate) fn until_tasks(&self, count: u64) {
        self.until(&format!("{count} tasks run"), |agent| {
            agent.tasks()["active_tasks"] == count
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number of files and sockets that the agent has open.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("a process")
            .count()
    }

    /// The memory that the agent occupies, in KiB.
    pub(crate) fn resident_kib(&self) -> usize {
        resident_kib(self.pid())
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for the end. Returns it with the rest of stderr.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        wait(&mut self.child, &self.stderr)
    }

    /// The next line on stderr whose text, or whose [error](said), contains `text`.
    pub(crate) fn line_with(&self, text: &str) -> String {
        let [line] = self.lines_with([text]);
        line
    }

    /// The next lines on stderr that contain one of `texts` each, in any order: the log has its own thread, so a log line may
    /// come after a later line that the program has written itself.
    pub(crate) fn lines_with<const N: usize>(&self, texts: [&str; N]) -> [String; N] {
        let deadline = Instant::now() + DEADLINE;
        let mut found = texts.map(|_| None);
        while let Some(missing) = found.iter().position(Option::is_none) {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stderr.recv_timeout(left).unwrap_or_else(|error| {
                panic!("no line with {:?}: {error}", texts[missing]);
            });
            let mut places = found.iter_mut().zip(texts);
            if let Some((place, _)) = places.find(|(place, text)| {
                place.is_none() && (line.contains(text) || said(&line).contains(text))
            }) {
                *place = Some(line);
            }
        }
        found.map(|line| line.expect("found"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection for many requests of a test.
///
/// A request is over when the next one is read. So no request makes the agent busy for the next one, and none needs its own
/// descriptor.
pub(crate) struct Observer {
    address: SocketAddr,
    client: Option<Client>,
}

impl Observer {
    /// An observer that connects with its first request.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            client: None,
        }
    }

    /// Sends a request and reads its reply. The agent may have closed the connection meanwhile, as it does with idle connections
    /// and during a stop. The request then goes over a new one.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Reply {
        let kept = self.client.take().filter(Client::is_open);
        let mut client = kept.unwrap_or_else(|| Client::connect(self.address));
        client.write(request);
        let reply = client.next_reply();
        if reply.header("connection") != Some("close") {
            self.client = Some(client);
        }
        reply
    }

    pub(crate) fn ping(&mut self) -> Ping {
        Ping::of(&self.ask(&get("/ping")))
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "what `json!` makes is passed on as it is"
    )]
    pub(crate) fn invoke(&mut self, event: Value) -> Reply {
        self.ask(&post(event.to_string().as_bytes()))
    }
}

/// A place where an agent's code waits until the test lets it continue. The code connects to the port, which tells the test how
/// far it has come, and waits for the end of its connection.
pub(crate) struct Latch(TcpListener);

impl Latch {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        Self(listener)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// Waits until one more piece of code waits here. It continues when the result is dropped. Code that the test has not waited
    /// for continues when the latch is dropped.
    #[must_use]
    pub(crate) fn held(&self) -> TcpStream {
        let mut held = None;
        wait_until(DEADLINE, "the agent's code is at the latch", || {
            held = self.0.accept().ok();
            held.is_some()
        });
        held.expect("a connection").0
    }
}

/// The memory that a process occupies, in KiB, without the pages of files: the kernel loads and drops those as it likes.
pub(crate) fn resident_kib(process: u32) -> usize {
    of_process(process, "RssAnon:")
}

/// A number of KiB from the kernel's status of a process.
pub(crate) fn of_process(process: u32, what: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number of KiB")
}

/// Runs a program that is expected not to start. Returns how it ended, and its stderr.
pub(crate) fn failed_start(binary: &str, environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let (mut child, stderr) = spawn(binary, environment);
    wait(&mut child, &stderr)
}

/// How a program ended by itself, and its output.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program that is expected to end at once.
pub(crate) fn run(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let mut child = Command::new(binary)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {binary}: {error}"));
    let stdout = read_later(child.stdout.take().expect("a piped stdout"));
    let stderr = read_later(child.stderr.take().expect("a piped stderr"));
    let deadline = Instant::now() + DEADLINE;
    let mut text = |pipe: &Receiver<String>| {
        let left = deadline.saturating_duration_since(Instant::now());
        pipe.recv_timeout(left).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("{binary} {arguments:?} did not end");
        })
    };
    let (stdout, stderr) = (text(&stdout), text(&stderr));
    let code = child.wait().expect("an exit status").code();
    Outcome {
        code,
        stdout,
        stderr,
    }
}

/// Reads all of `pipe` on another thread.
fn read_later(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, text) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

/// A port of loopback that no process uses, outside of the range from which the kernel chooses.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes begin at different ports.
    let begin = std::process::id() as u16 % 10_000;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + begin.wrapping_add(number) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Starts `binary` on a free port, with its stderr as lines.
pub(crate) fn spawn(binary: &str, environment: &[(&str, &str)]) -> (Child, Receiver<String>) {
    spawn_command(Command::new(binary), environment)
}

/// Runs a program that is expected to end at once, with `descriptors` from 3 on. Its stdout is not collected.
#[cfg(unix)]
pub(crate) fn run_passing(
    command: &Command,
    descriptors: Vec<std::os::fd::OwnedFd>,
    environment: &[(&str, &str)],
) -> Outcome {
    let (mut child, lines) = spawn_passing(command, descriptors, environment);
    let (status, stderr) = wait(&mut child, &lines);
    Outcome {
        code: status.code(),
        stdout: String::new(),
        stderr,
    }
}

/// Starts `command` as `sd_listen_fds(3)` describes it. A shell gets the descriptors in place of stdin and stdout, and gives them
/// their numbers.
#[cfg(unix)]
fn spawn_passing(
    command: &Command,
    descriptors: Vec<std::os::fd::OwnedFd>,
    environment: &[(&str, &str)],
) -> (Child, Receiver<String>) {
    let count = descriptors.len().to_string();
    let mut descriptors = descriptors.into_iter().map(Stdio::from);
    let stdin = descriptors.next().expect("a descriptor");
    let (stdout, numbers) = match descriptors.next() {
        Some(second) => (second, "3<&0 4<&1"),
        None => (Stdio::null(), "3<&0"),
    };
    assert!(descriptors.next().is_none(), "two at most");
    let script = format!(
        "exec {numbers} 0</dev/null 1>/dev/null; export LISTEN_PID=${{LISTEN_PID:-$$}}; exec \"$0\" \"$@\""
    );
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &script])
        .arg(command.get_program())
        .args(command.get_args());
    let environment = [&[("LISTEN_FDS", &*count)], environment].concat();
    spawn_with(shell, &environment, stdin, stdout)
}

fn spawn_command(command: Command, environment: &[(&str, &str)]) -> (Child, Receiver<String>) {
    spawn_with(command, environment, Stdio::null(), Stdio::null())
}

fn spawn_with(
    mut command: Command,
    environment: &[(&str, &str)],
    stdin: Stdio,
    stdout: Stdio,
) -> (Child, Receiver<String>) {
    let mut child = command
        .env_clear()
        .env("AGENTCORE_HOST", "127.0.0.1")
        .env("AGENTCORE_PORT", "0")
        .env("AGENTCORE_MCP_PORT", "0")
        .envs(environment.iter().copied())
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stderr = BufReader::new(child.stderr.take().expect("a piped stderr"));
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    (child, lines)
}

pub(crate) fn signal(child: &Child, name: &str) {
    signal_to(&child.id().to_string(), name);
}

pub(crate) fn signal_to(process: &str, name: &str) {
    let status = Command::new("kill").args(["-s", name, process]).status();
    assert!(status.expect("a kill command").success());
}

/// Waits for the end of a program. Returns it with the rest of its stderr.
pub(crate) fn wait(child: &mut Child, stderr: &Receiver<String>) -> (ExitStatus, String) {
    let deadline = Instant::now() + DEADLINE;
    let mut text = String::new();
    // Stderr closes when the process ends.
    loop {
        match stderr.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => text = text + &line + "\n",
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                panic!("the process did not end; its stderr:\n{text}");
            }
        }
    }
    (child.wait().expect("an exit status"), text)
}

/// Whether a log line says that something was cut off and contains `what`: a task's name in backticks,
/// `invocation` or `socket`.
pub(crate) fn was_cut_off(log: &str, what: &str) -> bool {
    log.lines()
        .filter_map(|line| line.split_once("cut off: "))
        .any(|(_, named)| named.contains(what))
}

/// Runs `check` for all `cells` at once, each on its own thread, and reports which of them failed.
pub(crate) fn all_at_once<T: std::fmt::Debug + Sync>(cells: &[T], check: impl Fn(&T) + Sync) {
    let failed: Vec<_> = std::thread::scope(|scope| {
        let check = &check;
        let threads: Vec<_> = cells
            .iter()
            .map(|cell| (cell, scope.spawn(move || check(cell))))
            .collect();
        threads
            .into_iter()
            .filter_map(|(cell, thread)| thread.join().err().map(|panic| (cell, panic)))
            .map(|(cell, panic)| {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("{cell:?}: {}", text.unwrap_or("a panic without a text"))
            })
            .collect()
    });
    assert!(failed.is_empty(), "failed:\n{}", failed.join("\n"));
}

/// The text of an error in a JSON line: the message, and the error's own text, which has a separate key.
pub(crate) fn said(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap_or_default();
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    format!("{}: {}", text("message"), text("errorMessage"))
}

/// The address in a start line.
pub(crate) fn ready_at(line: &str) -> Option<SocketAddr> {
    line.contains(" is ready on ").then_some(())?;
    let rest = line.split("http://").nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// One answer to `/ping`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ping {
    pub(crate) busy: bool,
    pub(crate) stamp: u64,
}

impl Ping {
    fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        let body = reply.json();
        let object = body.as_object().expect("an object");
        assert_eq!(object.len(), 2, "{body}");
        Self {
            busy: match body["status"].as_str() {
                Some("Healthy") => false,
                Some("HealthyBusy") => true,
                _ => panic!("unknown status in {body}"),
            },
            stamp: body["time_of_last_update"]
                .as_u64()
                .unwrap_or_else(|| panic!("no integer stamp in {body}")),
        }
    }

    /// Waits until the clock shows another second than the stamp. From then on, a stamp that moves by itself is different.
    pub(crate) fn until_its_second_is_over(self) {
        wait_until(DEADLINE, "the next second begins", || {
            unix_now() > self.stamp
        });
    }
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

/// A `GET` as most clients send it.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: agent\r\n\r\n").into_bytes()
}

/// An invocation as most clients send it.
pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /invocations HTTP/1.1\r\nhost: agent\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A connection that sends exactly the given bytes.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection"))
    }

    /// A client over an existing connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Whether a reply has begun to arrive, or the connection has ended.
    pub(crate) fn has_more(&self) -> bool {
        !self.is_open()
    }

    /// Whether the other side has neither closed the connection nor sent anything.
    fn is_open(&self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).expect("a connection");
        let waits = stream
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        stream.set_nonblocking(false).expect("a connection");
        waits
    }

    /// Whether the kernel has stopped sending to this client, because the client does not read and its buffers are full. Linux
    /// shows this by the timer of the side that asks for room.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_full(&self) -> bool {
        let stream = self.stream.get_ref();
        let (own, peer) = (stream.local_addr(), stream.peer_addr());
        is_waiting_for_room(
            peer.expect("an address").port(),
            own.expect("an address").port(),
        )
    }

    /// Allows `limit` for each part of a reply.
    pub(crate) fn patient(self, limit: Duration) -> Self {
        self.stream
            .get_ref()
            .set_read_timeout(Some(limit))
            .expect("a read timeout");
        self
    }

    /// Waits until a reply begins to arrive. False if the connection ends without one.
    pub(crate) fn is_answered(&mut self) -> bool {
        self.stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream
            .get_mut()
            .write_all(bytes)
            .expect("the bytes are sent");
    }

    pub(crate) fn send(mut self, bytes: &[u8]) -> Self {
        self.write(bytes);
        self
    }

    /// Sends `bytes`. Returns whether the other side took all of them.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    /// Sends as much as the other side takes.
    pub(crate) fn try_send(mut self, bytes: &[u8]) -> Self {
        self.try_write(bytes);
        self
    }

    pub(crate) fn send_post(self, body: &[u8]) -> Self {
        self.send(&post(body))
    }

    /// Sends the head of an invocation with a chunked body, and waits until the agent asks for the body: from then on the
    /// invocation is in flight.
    pub(crate) fn begin_post(mut self) -> Self {
        let head = "POST /invocations HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n\
            transfer-encoding: chunked\r\n\r\n";
        self = self.send(head.as_bytes());
        assert_eq!(self.head().0, 100);
        self
    }

    pub(crate) fn finish_sending(self) -> Self {
        self.stream
            .get_ref()
            .shutdown(std::net::Shutdown::Write)
            .expect("a half-closed connection");
        self
    }

    pub(crate) fn reply(mut self) -> Reply {
        self.next_reply()
    }

    /// Reads a head: status and headers.
    pub(crate) fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).expect("a head in time");
            assert_ne!(read, 0, "the connection ended in the head: {head:?}");
        }
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok())
            .expect("a status");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_start().to_owned()))
            .collect();
        (status, headers)
    }

    /// Reads one reply.
    pub(crate) fn next_reply(&mut self) -> Reply {
        let (status, headers) = self.head();
        let mut reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        if reply.header("transfer-encoding") == Some("chunked") {
            reply.body =
                std::iter::from_fn(|| Some(self.chunk()).filter(|chunk| !chunk.is_empty()))
                    .flatten()
                    .collect();
        } else {
            let length = reply
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a length"));
            reply.body = vec![0; length];
            self.stream
                .read_exact(&mut reply.body)
                .expect("the whole body");
        }
        reply
    }

    /// Reads the given number of bytes of a body.
    pub(crate) fn take(&mut self, bytes: usize) {
        let mut left = vec![0; bytes];
        self.stream.read_exact(&mut left).expect("the bytes");
    }

    /// Reads one chunk. An empty chunk is the end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("a chunk in time");
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).expect("the whole chunk");
        chunk.truncate(size);
        chunk
    }

    /// Waits until the other side closes. Returns the bytes that it still sent.
    pub(crate) fn rest(mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// Waits until the other side closes. Returns the bytes that it still sent, or the error of a broken connection.
    pub(crate) fn try_rest(mut self) -> std::io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }
}

/// Whether the connection between two local ports has stopped because `to` has no room for more.
#[cfg(target_os = "linux")]
pub(crate) fn is_waiting_for_room(from: u16, to: u16) -> bool {
    /// The timer of a sender that waits for the receiver's window to open.
    const WINDOW_PROBE: &str = "04:";

    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of connections");
    let is_port = |address: &str, port: u16| address.ends_with(&format!(":{port:04X}"));
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 5
            && is_port(fields[1], from)
            && is_port(fields[2], to)
            && fields[5].starts_with(WINDOW_PROBE)
    })
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The JSON of each event's data, from a streamed reply.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = std::str::from_utf8(&self.body).expect("text");
        assert!(text.ends_with("\n\n"), "{text:?}");
        text.split_terminator("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(|data| {
                serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {data:?}"))
            })
            .collect()
    }

    /// Status and JSON, as most tests need them.
    pub(crate) fn parts(&self) -> (u16, Value) {
        (self.status, self.json())
    }
}
