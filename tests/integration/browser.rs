//! The dev page in a real browser, used as a person would: by mouse, by keyboard, in both colour schemes, on a phone.
//!
//! These tests need Chromium and its driver.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Agent, Client};
use crate::webdriver::{Browser, CONTROL, ENTER, TAB};

fn start() -> Option<(Browser, Agent)> {
    let browser = Browser::start()?;
    let agent = Agent::start(
        env!("CARGO_BIN_EXE_dev_agent"),
        &[("AGENTCORE_DEV", "true")],
    );
    browser.open(&format!("http://{}/", agent.address()));
    browser.until_text("#status", "Healthy");
    browser.until_text("#registry", "entrypoint");
    Some((browser, agent))
}

/// Invokes the agent from outside of the page.
fn invoke(address: SocketAddr, event: &Value) {
    let body = event.to_string();
    let request = format!(
        "POST /invocations HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let reply = Client::connect(address).send(request.as_bytes()).reply();
    assert_eq!(reply.status, 200, "{reply:?}");
}

fn open_gate(agent: &Agent, count: u32) {
    invoke(
        agent.address(),
        &json!({ "action": "open", "count": count }),
    );
}

fn no_complaints(browser: &Browser) {
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

#[test]
fn a_form_is_made_of_the_schema_and_becomes_the_payload() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let agent = Agent::start(env!("CARGO_BIN_EXE_tools"), &[("AGENTCORE_DEV", "true")]);
    browser.open(&format!("http://{}/", agent.address()));
    browser.until_text("#registry", "whoami");
    browser.click("#shape summary");
    browser.fill("#fields input[aria-label=tool]", "whoami");
    browser.click("#send");
    browser.until_text("#head", "200");
    browser.until_text("#reply", "dev-");
    no_complaints(&browser);
}

#[test]
fn a_stream_is_shown_as_it_comes_and_can_be_broken_off() {
    let Some((browser, agent)) = start() else {
        return;
    };
    browser.fill(
        "#payload",
        r#"{"action": "stream", "prompt": "one two three"}"#,
    );
    browser.click("#send");
    browser.until_text("#head", "text/event-stream");
    browser.until_text("#status", "HealthyBusy");
    for (count, word) in (0..).zip(["one", "two", "three"]) {
        assert_eq!(browser.count("#reply > div"), count);
        open_gate(&agent, 1);
        browser.until_text("#reply > div:last-child", word);
    }
    browser.until_text("#head", "3 events in");
    browser.until("the agent is healthy", |browser| {
        browser.text("#status") == "Healthy"
    });
    // Its row is the last; the rows of the gate are newer.
    browser.until_text("#recent tbody tr:last-child", "complete");
    assert!(browser.text("#recent tbody tr:last-child").contains("200"));

    browser.click("#send");
    browser.until_text("#status", "HealthyBusy");
    open_gate(&agent, 1);
    browser.until("an item is there", |browser| {
        browser.count("#reply > div") == 1
    });
    browser.click("#abort");
    browser.until_text("#head", "Aborted");
    browser.until_text("#recent tbody", "broken off");
    browser.until("the agent is healthy", |browser| {
        browser.text("#status") == "Healthy"
    });
    assert_eq!(browser.run("return document.activeElement.id"), "send");
    no_complaints(&browser);
}

#[test]
fn a_task_is_listed_and_cancelled() {
    let Some((browser, agent)) = start() else {
        return;
    };
    browser.fill("#payload", r#"{"action": "index"}"#);
    browser.click("#send");
    browser.until_text("#reply", "index_archive");
    browser.until_text("#tasks", "index_archive");
    browser.until_text("#status", "HealthyBusy");
    browser.until("the strip shows it", |browser| {
        let label = browser.run("return document.getElementById('history').ariaLabel");
        !label.as_str().expect("text").starts_with("busy in 0")
    });
    // A task that is only tracked has no button.
    browser.fill("#payload", r#"{"action": "embed"}"#);
    browser.click("#send");
    browser.until_text("#tasks", "embed_documents");
    browser.until("the other one has a button", |browser| {
        browser.count("#tasks button") == 1
    });
    browser.click("#tasks button");
    browser.until("it is gone", |browser| {
        !browser.text("#tasks").contains("index_archive")
    });
    // The list may have been fetched before the answer to the button has come.
    browser.until_text("#said", "index_archive is cancelled");
    assert_eq!(browser.run("return document.activeElement.id"), "h-tasks");
    browser.until_text("#status", "HealthyBusy");
    open_gate(&agent, 1);
    browser.until("the agent is healthy", |browser| {
        browser.text("#status") == "Healthy" && browser.count("#tasks li") == 0
    });
    no_complaints(&browser);
}

#[test]
fn what_is_no_json_is_not_sent_and_an_error_is_shown() {
    let Some((browser, _agent)) = start() else {
        return;
    };
    browser.fill("#payload", r#"{"prompt": }"#);
    browser.press(&[CONTROL, ENTER]);
    browser.until_text("#problem", "Not sent, not JSON");
    let invalid = "return document.getElementById('payload').ariaInvalid";
    assert_eq!(browser.run(invalid), "true");
    assert_eq!(browser.run("return document.activeElement.id"), "payload");
    browser.fill(
        "#payload",
        r#"{"large": 12345678901234567890, "é": "<b>bold</b>"}"#,
    );
    assert_eq!(browser.run(invalid), "false");
    browser.press(&[CONTROL, ENTER]);
    // A reply is shown as text, never as markup.
    browser.until_text("#reply", "<b>bold</b>");
    assert_eq!(browser.count("#reply b"), 0);
    // The first request that was sent is the first in the list.
    assert_eq!(browser.count("#recent tbody tr"), 1);
    no_complaints(&browser);
    browser.fill("#payload", r#"{"action": "fail"}"#);
    browser.press(&[CONTROL, ENTER]);
    browser.until_text("#head", "409");
    browser.until_text("#recent tbody tr", "the index is being rebuilt");
    // The browser itself notes down a status of 409.
    let complaints = browser.complaints();
    let network = complaints.iter().all(|entry| entry["source"] == "network");
    assert!(network && complaints.len() == 1, "{complaints:?}");
}

#[test]
fn a_socket_is_opened_spoken_to_and_closed() {
    let Some((browser, _agent)) = start() else {
        return;
    };
    browser.click("#connect");
    browser.until_text("#link", "open");
    browser.until_text("#status", "HealthyBusy");
    browser.fill("#message", r#"{"n":1}"#);
    browser.press(&[CONTROL, ENTER]);
    browser.until("the echo is there", |browser| {
        browser.count("#talked > div") == 2
    });
    let log = browser.text("#talked");
    assert!(log.contains("sent") && log.contains("received"), "{log}");
    assert_eq!(log.matches(r#"{"n":1}"#).count(), 2, "{log}");
    browser.fill("#message", "just text");
    browser.click("#say");
    browser.until("the echo is there", |browser| {
        browser.text("#talked").matches("just text").count() == 2
    });
    browser.click("#close");
    browser.until_text("#link", "closed, 1000");
    browser.until("the agent is healthy", |browser| {
        browser.text("#status") == "Healthy"
    });
    browser.click("#connect");
    browser.until_text("#link", "open");
    no_complaints(&browser);
}

/// A user can go from the first field to the last button without a mouse, and sees which element has the focus.
#[test]
fn the_keyboard_reaches_everything_in_order() {
    let Some((browser, _agent)) = start() else {
        return;
    };
    browser.fill("#payload", r#"{"action": "index"}"#);
    browser.press(&[CONTROL, ENTER]);
    browser.until_text("#tasks", "index_archive");
    browser.until_text("#reply", "index_archive");
    browser.run("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)");
    browser.click("h1");
    let seen: Vec<_> = (0..9)
        .map(|_| {
            browser.press(&[TAB]);
            let outline = "return getComputedStyle(document.activeElement).outlineStyle";
            assert_eq!(browser.run(outline), "solid");
            let name =
                "const it = document.activeElement; return it.id || it.ariaLabel || it.className";
            browser.run(name)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "session",
            "fresh",
            "payload",
            "send",
            "reply",
            "connect",
            "message",
            "Cancel index_archive",
            "scroll",
        ]
    );
    browser.run("document.querySelector('#tasks button').focus()");
    browser.press(&[ENTER]);
    browser.until("the agent is healthy", |browser| {
        browser.text("#status") == "Healthy"
    });
    no_complaints(&browser);
}

/// Computes the contrast of all visible text against its background, as WCAG 2 defines it.
const CONTRAST: &str = r"
const numbers = color => color.match(/[\d.]+/g).map(Number);
const light = color => {
    const [r, g, b] = numbers(color).map(part => part / 255)
        .map(part => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
};
const behind = node => {
    const color = node ? getComputedStyle(node).backgroundColor : 'rgb(255, 255, 255)';
    return numbers(color)[3] === 0 ? behind(node.parentElement) : color;
};
return [...document.querySelectorAll('body *')]
    .filter(node => node.checkVisibility() && !node.disabled)
    .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim()) || node.value)
    .filter(node => !/SCRIPT|STYLE/.test(node.tagName))
    .map(node => {
        const [one, other] = [light(getComputedStyle(node).color), light(behind(node))];
        const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
        return [ratio, `${node.tagName} ${node.id} ${node.className} ${node.textContent}`];
    });
";

#[test]
fn both_colour_schemes_can_be_read_and_narrow_windows_too() {
    let Some((browser, agent)) = start() else {
        return;
    };
    invoke(agent.address(), &json!({ "action": "index" }));
    browser.until_text("#tasks", "index_archive");
    let background = "return getComputedStyle(document.body).backgroundColor";
    let mut backgrounds = Vec::new();
    for scheme in ["light", "dark"] {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        browser.protocol(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
        backgrounds.push(browser.run(background));
        for found in browser.run(CONTRAST).as_array().expect("a list") {
            assert!(found[0].as_f64() >= Some(4.5), "{scheme}: {found}");
        }
        for (width, name) in [(320, "phone"), (900, "tablet"), (1200, "desktop")] {
            let size =
                json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
            browser.protocol("Emulation.setDeviceMetricsOverride", &size);
            let wide = "return document.documentElement.scrollWidth";
            assert_eq!(browser.run(wide), width, "{name}");
        }
    }
    assert_ne!(backgrounds[0], backgrounds[1]);
    // Every field and button has a name.
    let nameless = "return [...document.querySelectorAll('input, textarea, button, [role=log], section')]
        .filter(it => !it.ariaLabel && !it.labels?.length && !it.textContent.trim() && !it.getAttribute('aria-labelledby'))
        .map(it => it.id)";
    assert_eq!(browser.run(nameless), json!([]));
    no_complaints(&browser);
}

/// Makes the picture in the README:
/// `cargo test -p agentcore-tests --test integration browser::picture -- --ignored`.
#[test]
#[ignore = "makes a picture instead of checking anything"]
fn picture() {
    use base64::Engine as _;
    let (browser, agent) = start().expect("a browser");
    let size = json!({ "width": 1200, "height": 940, "deviceScaleFactor": 1, "mobile": false });
    browser.protocol("Emulation.setDeviceMetricsOverride", &size);
    let told = |payload: &str, answer: &str| {
        browser.fill("#payload", payload);
        browser.press(&[CONTROL, ENTER]);
        browser.until_text("#reply", answer);
    };
    told(r#"{"prompt": "Hello"}"#, "Hello");
    told(r#"{"action": "fail"}"#, "rebuilt");
    told(r#"{"action": "stream_fails"}"#, "overloaded");
    // `busy in 3 of the last 20 seconds`
    let history = |word, least| {
        browser.until("some time has passed", |browser| {
            let label = browser.run("return document.getElementById('history').ariaLabel");
            let mut words = label.as_str().expect("text").split(' ');
            words
                .nth(word)
                .and_then(|number| number.parse::<u32>().ok())
                >= Some(least)
        });
    };
    history(6, 12);
    told(r#"{"action": "index"}"#, "index_archive");
    history(2, 13);
    browser.click("#tasks button");
    history(6, 32);
    told(r#"{"action": "index"}"#, "index_archive");
    history(6, 50);
    browser.click("#connect");
    browser.until_text("#link", "open");
    browser.fill("#message", r#"{"text": "hello"}"#);
    browser.press(&[CONTROL, ENTER]);
    browser.until("the echo is there", |browser| {
        browser.count("#talked > div") == 2
    });
    browser.fill(
        "#payload",
        "{\n  \"action\": \"stream\",\n  \"prompt\": \"It is 15 degrees in Paris.\"\n}",
    );
    browser.press(&[CONTROL, ENTER]);
    for count in 1..=4 {
        open_gate(&agent, 1);
        browser.until("a word is there", |browser| {
            browser.count("#reply > div") == count
        });
    }
    browser.until_text("#recent tbody", "in progress");
    browser.run("scrollTo(0, 0)");
    let picture = base64::engine::general_purpose::STANDARD
        .decode(browser.picture())
        .expect("base64");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/dev-page.png");
    std::fs::write(path, picture).expect("a file");
}
