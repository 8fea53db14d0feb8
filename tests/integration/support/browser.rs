//! A real browser: headless Chromium, driven through WebDriver (JSON over HTTP) by the client of the other tests.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use crate::not_tested::not_tested;
use crate::support::{Client, DEADLINE};

/// The time for a browser to start on a machine that is busy with other tests.
const START: std::time::Duration = std::time::Duration::from_secs(90);

/// The pause between two checks of a page.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Keys, as WebDriver writes them.
pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const CONTROL: &str = "\u{e009}";
pub(crate) const TAB: &str = "\u{e004}";

/// One window of a browser with an empty profile. A drop ends both.
pub(crate) struct Browser {
    driver: Driver,
    session: String,
    profile: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// Only one browser runs at a time, because each takes several processes and gigabytes of memory.
static TURN: Mutex<()> = Mutex::new(());

/// The process that starts browsers.
struct Driver {
    child: Child,
    address: SocketAddr,
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A script that reads a property of an element.
fn of(css: &str, what: &str) -> String {
    format!("return document.querySelector({})?.{what}", json!(css))
}

impl Browser {
    /// `None` if Chromium or its driver is missing.
    pub(crate) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(browser) => Some(browser),
            Err(problem) => {
                not_tested(format_args!("there is no browser: {problem}"));
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = Driver::start()?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = format!("agentcore-browser-{}-{number}", std::process::id());
        let profile = std::env::temp_dir().join(profile);
        let mut options = json!({ "args": [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--window-size=1200,1400",
            format!("--user-data-dir={}", profile.display()),
        ] });
        if let Some(binary) = std::env::var_os("CHROME_BIN") {
            options["binary"] = json!(binary.to_string_lossy());
        }
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let session = driver.ask("POST", "/session", &capabilities)?;
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        Ok(Self {
            driver,
            session,
            profile,
            _turn: turn,
        })
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        let value = self.driver.ask(method, &path, body);
        value.unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Opens a page and waits until it has loaded.
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script and returns its result.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.command(
            "POST",
            "/execute/sync",
            &json!({ "script": script, "args": [] }),
        )
    }

    /// Runs a command of Chromium's own protocol and returns its result.
    pub(crate) fn protocol(&self, command: &str, parameters: &Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.command("POST", "/goog/cdp/execute", &body)
    }

    /// Clicks on an element, as a person would: the element has to be visible.
    pub(crate) fn click(&self, css: &str) {
        let path = format!("/element/{}/click", self.find(css));
        self.command("POST", &path, &json!({}));
    }

    /// Empties a field and types into it.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.command("POST", &format!("/element/{element}/clear"), &json!({}));
        let body = json!({ "text": text });
        self.command("POST", &format!("/element/{element}/value"), &body);
    }

    /// Presses keys in the element that has the focus. The first is held while the others are pressed.
    pub(crate) fn press(&self, keys: &[&str]) {
        let key = |kind: &str, key: &&str| json!({ "type": kind, "value": key });
        let down = keys.iter().map(|pressed| key("keyDown", pressed));
        let up = keys.iter().rev().map(|pressed| key("keyUp", pressed));
        let actions: Vec<_> = down.chain(up).collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.command("POST", "/actions", &json!({ "actions": [keyboard] }));
    }

    fn find(&self, css: &str) -> String {
        let body = json!({ "using": "css selector", "value": css });
        let element = self.command("POST", "/element", &body);
        let mut ids = element.as_object().expect("an element").values();
        let id = ids.next().and_then(Value::as_str);
        id.expect("an element's id").to_owned()
    }

    /// The visible text of the first such element.
    pub(crate) fn text(&self, css: &str) -> String {
        let text = self.run(&of(css, "innerText"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The number of such elements.
    pub(crate) fn count(&self, css: &str) -> u64 {
        let script = format!("return document.querySelectorAll({}).length", json!(css));
        self.run(&script).as_u64().expect("a number")
    }

    /// Waits until `condition` holds.
    pub(crate) fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !condition(self) {
            assert!(
                began.elapsed() < DEADLINE,
                "waited too long until {what}; the page:\n{}",
                self.text("body")
            );
            // The browser needs the processor more than this wait.
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until such an element contains `text`.
    pub(crate) fn until_text(&self, css: &str, text: &str) {
        let what = format!("{css} says {text:?}");
        self.until(&what, |browser| browser.text(css).contains(text));
    }

    /// The errors and warnings of the page and the browser since the last call.
    pub(crate) fn complaints(&self) -> Vec<Value> {
        let log = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let log = log.as_array().expect("a list").iter();
        log.filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .cloned()
            .collect()
    }

    /// A picture of the visible page: a PNG, in base64.
    pub(crate) fn picture(&self) -> String {
        let picture = self.command("GET", "/screenshot", &Value::Null);
        picture.as_str().expect("a picture").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // This ends the browser. If the driver is gone, the failed test has more to say than this call.
        let end = || self.command("DELETE", "", &Value::Null);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(end));
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Driver {
    fn start() -> Result<Self, String> {
        let program = std::env::var_os("CHROMEDRIVER").unwrap_or("chromedriver".into());
        let mut child = Command::new(&program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot run {program:?}: {error}"))?;
        let stdout = BufReader::new(child.stdout.take().expect("a piped stdout"));
        let port = stdout.lines().map_while(Result::ok).find_map(|line| {
            let rest = line.split("successfully on port ").nth(1)?;
            rest.trim_end_matches('.').parse::<u16>().ok()
        });
        let Some(port) = port else {
            let _ = child.kill();
            let _ = child.wait();
            return Err("chromedriver did not start".to_owned());
        };
        Ok(Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        })
    }

    /// The value of an answer, or the driver's error.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let reply = Client::connect(self.address)
            .patient(START)
            .send((head + &body).as_bytes())
            .reply();
        let value = reply.json()["value"].clone();
        match reply.status {
            200 => Ok(value),
            _ => Err(format!("{method} {path}: {value}")),
        }
    }
}
