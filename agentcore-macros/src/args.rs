//! The arguments of the attributes.
//!
//! This does not use `syn::meta`, which stops at the first mistake and calls the arguments "nested attributes".

use std::mem;
use std::time::Duration;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Expr, ExprLit, Ident, Lit, LitBool, LitInt, LitStr, Path, Token};

use crate::errors::Errors;
use crate::role::{self, Role};

/// The arguments of an attribute.
///
/// All attributes share this type: each `parse` names the keys that it knows, and the others keep their defaults.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) name: Option<String>,
    /// The place of the name, if it is given.
    pub(crate) name_at: Option<Span>,
    pub(crate) main: Option<bool>,
    /// Comes with its key, which may be out of place.
    pub(crate) flags: Option<(Ident, bool)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) port: Option<u16>,
    pub(crate) idle: Vec<String>,
    /// The key `schema` of an entrypoint: a missing schema is an error.
    pub(crate) schema: Option<Ident>,
    pub(crate) schema_file: Option<LitStr>,
    pub(crate) name_literal: Option<LitStr>,
    pub(crate) title: Option<String>,
    pub(crate) hints: Hints,
    pub(crate) task: TaskMode,
    pub(crate) uri: Option<LitStr>,
    pub(crate) mime_type: Option<String>,
    pub(crate) krate: Option<Path>,
    /// The place of the key, if it is given.
    pub(crate) durable: Option<Span>,
    /// With the key, which only a durable task takes.
    pub(crate) attempts: Option<(Ident, u32)>,
    pub(crate) deadline: Option<(Ident, Duration)>,
    pub(crate) concurrency: Option<(Ident, u32)>,
}

/// The hints of a tool, for clients that ask people before they call it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hints {
    pub(crate) read_only: Option<bool>,
    pub(crate) destructive: Option<bool>,
    pub(crate) idempotent: Option<bool>,
    pub(crate) open_world: Option<bool>,
}

/// Whether a call of a tool becomes a task that its client polls.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TaskMode {
    #[default]
    Never,
    /// Where the client can poll.
    Auto,
    Always,
    /// From the moment on in which the function says so.
    OnDemand,
}

/// What happens to an invocation whose client is gone.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum OnDisconnect {
    #[default]
    Finish,
    Cancel,
}

/// The key of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Name,
    Main,
    Flags,
    Timeout,
    IdleTimeout,
    OnDisconnect,
    Port,
    Idle,
    /// Of an entrypoint: a flag.
    Schema,
    /// Of a tool: the schema of its arguments.
    SchemaFile,
    Title,
    ReadOnly,
    Destructive,
    Idempotent,
    OpenWorld,
    Task,
    Uri,
    MimeType,
    Crate,
    Durable,
    Attempts,
    Deadline,
    Concurrency,
}

impl Key {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Main => "main",
            Self::Flags => "flags",
            Self::Timeout => "timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::OnDisconnect => "on_disconnect",
            Self::Port => "port",
            Self::Idle => "idle",
            Self::Schema | Self::SchemaFile => "schema",
            Self::Title => "title",
            Self::ReadOnly => "read_only",
            Self::Destructive => "destructive",
            Self::Idempotent => "idempotent",
            Self::OpenWorld => "open_world",
            Self::Task => "task",
            Self::Uri => "uri",
            Self::MimeType => "mime_type",
            Self::Crate => "crate",
            Self::Durable => "durable",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Concurrency => "concurrency",
        }
    }

    /// Whether the key alone means `true`.
    const fn is_flag(self) -> bool {
        matches!(
            self,
            Self::Schema | Self::ReadOnly | Self::Destructive | Self::Idempotent | Self::OpenWorld
        )
    }

    /// The value and its form.
    const fn expects(self) -> &'static str {
        match self {
            Self::Name => "a string literal, for example `name = \"chat\"`",
            Self::Main | Self::Flags => "`true` or `false`",
            Self::Timeout => "a duration in a string literal, for example `timeout = \"90s\"`",
            Self::IdleTimeout => {
                "a duration in a string literal, for example `idle_timeout = \"30s\"`"
            }
            Self::OnDisconnect => "`\"finish\"` or `\"cancel\"`",
            Self::Port => "a number from 1 to 65535, for example `port = 8081`",
            Self::Idle => {
                "a list of paths in string literals, for example `idle = [\"/health\", \"/assets/*\"]`"
            }
            Self::Schema
            | Self::ReadOnly
            | Self::Destructive
            | Self::Idempotent
            | Self::OpenWorld => "no value, or `true` or `false`",
            Self::SchemaFile => {
                "the path of a JSON file, seen from this source file, for example `schema = \"forecast.json\"`"
            }
            Self::Title => "a string literal, for example `title = \"Weather forecast\"`",
            Self::Task => "`\"never\"`, `\"auto\"`, `\"always\"` or `\"on_demand\"`",
            Self::Uri => "a URI in a string literal, for example `uri = \"notes://{name}\"`",
            Self::MimeType => "a string literal, for example `mime_type = \"text/markdown\"`",
            Self::Crate => "a path, for example `crate = ::agentcore`",
            Self::Durable => "no value",
            Self::Attempts => "a number from 1 to 1000, for example `attempts = 5`",
            Self::Deadline => "a duration in a string literal, for example `deadline = \"1d\"`",
            Self::Concurrency => "a number from 1 to 1000, for example `concurrency = 4`",
        }
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Name => "name = \"chat\"",
            Self::Main => "main = false",
            Self::Flags => "flags = false",
            Self::Timeout => "timeout = \"90s\"",
            Self::IdleTimeout => "idle_timeout = \"30s\"",
            Self::OnDisconnect => "on_disconnect = \"cancel\"",
            Self::Port => "port = 8081",
            Self::Idle => "idle = [\"/health\"]",
            Self::Schema => "schema",
            Self::SchemaFile => "schema = \"forecast.json\"",
            Self::Title => "title = \"Weather forecast\"",
            Self::ReadOnly => "read_only",
            Self::Destructive => "destructive = false",
            Self::Idempotent => "idempotent",
            Self::OpenWorld => "open_world = false",
            Self::Task => "task = \"auto\"",
            Self::Uri => "uri = \"notes://{name}\"",
            Self::MimeType => "mime_type = \"text/markdown\"",
            Self::Crate => "crate = ::agentcore",
            Self::Durable => "durable",
            Self::Attempts => "attempts = 5",
            Self::Deadline => "deadline = \"1d\"",
            Self::Concurrency => "concurrency = 4",
        }
    }
}

impl Args {
    /// Reads `tokens`, the content of an attribute's parentheses, and reports every mistake in them.
    pub(crate) fn parse(tokens: TokenStream, keys: &[Key], errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let mut seen = Vec::new();
        for argument in split_at_commas(tokens, keys, errors) {
            let Some(argument) = Argument::parse(argument, keys, errors) else {
                continue;
            };
            if seen.contains(&argument.key) {
                errors.push(
                    &argument.ident,
                    format_args!("duplicate `{}` argument", argument.key.as_str()),
                );
                continue;
            }
            seen.push(argument.key);
            args.set(&argument, errors);
        }
        args
    }

    fn set(&mut self, argument: &Argument, errors: &mut Errors) {
        match argument.key {
            Key::Name => {
                self.name = argument.name(errors);
                self.name_at = argument
                    .value
                    .clone()
                    .into_iter()
                    .next()
                    .map(|name| name.span());
                self.name_literal = syn::parse2(argument.value.clone()).ok();
            }
            Key::Main => self.main = argument.boolean(errors),
            Key::Flags => self.flags = argument.flags(errors),
            Key::Timeout => self.timeout = argument.duration(errors),
            Key::IdleTimeout => self.idle_timeout = argument.duration(errors),
            Key::OnDisconnect => {
                self.on_disconnect = argument.on_disconnect(errors).unwrap_or_default();
            }
            Key::Port => self.port = argument.port(errors),
            Key::Idle => self.idle = argument.idle(errors),
            Key::Schema => {
                let wanted = argument.boolean(errors).unwrap_or_default();
                self.schema = wanted.then(|| argument.ident.clone());
            }
            Key::SchemaFile => self.schema_file = argument.not_empty(errors),
            Key::Title => self.title = argument.not_empty(errors).map(|title| title.value()),
            Key::ReadOnly => self.hints.read_only = argument.boolean(errors),
            Key::Destructive => self.hints.destructive = argument.boolean(errors),
            Key::Idempotent => self.hints.idempotent = argument.boolean(errors),
            Key::OpenWorld => self.hints.open_world = argument.boolean(errors),
            Key::Task => self.task = argument.task(errors).unwrap_or_default(),
            Key::Uri => self.uri = argument.string(errors),
            Key::MimeType => self.mime_type = argument.name(errors),
            Key::Crate => self.krate = argument.path(errors),
            Key::Durable => self.durable = Some(argument.flag(errors)),
            Key::Attempts => self.attempts = argument.count(errors),
            Key::Deadline => {
                let deadline = argument.duration(errors);
                self.deadline = deadline.map(|limit| (argument.ident.clone(), limit));
            }
            Key::Concurrency => self.concurrency = argument.count(errors),
        }
    }
}

/// One `key = value` with a known key, or a flag, which has no value.
struct Argument {
    key: Key,
    ident: Ident,
    value: TokenStream,
}

impl Argument {
    fn parse(tokens: TokenStream, keys: &[Key], errors: &mut Errors) -> Option<Self> {
        // Keywords such as `crate` are keys too.
        let parts = |input: ParseStream<'_>| {
            Ok((input.call(Ident::parse_any)?, input.parse::<TokenStream>()?))
        };
        let Ok((ident, rest)) = parts.parse2(tokens.clone()) else {
            errors.push(tokens, expected_pair(keys[0]));
            return None;
        };
        let Some(&key) = keys.iter().find(|key| ident == key.as_str()) else {
            errors.push(&ident, unknown(&ident.to_string(), keys));
            return None;
        };
        if key == Key::Durable && rest.is_empty() {
            return Some(Self {
                key,
                ident,
                value: rest,
            });
        }
        if key.is_flag() && rest.is_empty() {
            let value = LitBool::new(true, ident.span()).into_token_stream();
            return Some(Self { key, ident, value });
        }
        let value = |input: ParseStream<'_>| {
            input.parse::<Token![=]>()?;
            input.parse::<TokenStream>()
        };
        let Ok(value) = value.parse2(rest) else {
            errors.push(tokens, expected_pair(key));
            return None;
        };
        Some(Self { key, ident, value })
    }

    fn name(&self, errors: &mut Errors) -> Option<String> {
        self.not_empty(errors).map(|name| name.value())
    }

    fn not_empty(&self, errors: &mut Errors) -> Option<LitStr> {
        let text = self.string(errors)?;
        if text.value().trim().is_empty() {
            errors.push(
                &text,
                format_args!("`{}` cannot be empty", self.key.as_str()),
            );
            return None;
        }
        Some(text)
    }

    fn task(&self, errors: &mut Errors) -> Option<TaskMode> {
        match self.string(errors)?.value().as_str() {
            "never" => Some(TaskMode::Never),
            "auto" => Some(TaskMode::Auto),
            "always" => Some(TaskMode::Always),
            "on_demand" => Some(TaskMode::OnDemand),
            _ => {
                self.mismatch(errors);
                None
            }
        }
    }

    fn boolean(&self, errors: &mut Errors) -> Option<bool> {
        self.value_as(errors).map(|literal: LitBool| literal.value)
    }

    fn flags(&self, errors: &mut Errors) -> Option<(Ident, bool)> {
        Some((self.ident.clone(), self.boolean(errors)?))
    }

    /// A key that is written alone.
    fn flag(&self, errors: &mut Errors) -> Span {
        if !self.value.is_empty() {
            self.mismatch(errors);
        }
        self.ident.span()
    }

    /// A number from 1 to 1000.
    fn count(&self, errors: &mut Errors) -> Option<(Ident, u32)> {
        let literal: Option<LitInt> = syn::parse2(self.value.clone()).ok();
        let number = literal.and_then(|literal| literal.base10_parse().ok());
        match number.filter(|number| (1..=1000).contains(number)) {
            Some(number) => Some((self.ident.clone(), number)),
            None => {
                self.mismatch(errors);
                None
            }
        }
    }

    fn duration(&self, errors: &mut Errors) -> Option<Duration> {
        if let Ok(Lit::Int(number)) = syn::parse2(self.value.clone()) {
            let message = format!(
                "`{0}` needs a unit; write `{0} = \"{number}s\"` for seconds",
                self.key.as_str()
            );
            errors.push(number, message);
            return None;
        }
        let literal = self.string(errors)?;
        let text = literal.value();
        match humantime::parse_duration(&text) {
            Ok(limit) if limit.is_zero() => {
                errors.push(
                    literal,
                    format_args!("`{}` cannot be zero", self.key.as_str()),
                );
                None
            }
            Ok(limit) => Some(limit),
            Err(error) => {
                errors.push(literal, not_a_duration(self.key, &text, &error));
                None
            }
        }
    }

    fn on_disconnect(&self, errors: &mut Errors) -> Option<OnDisconnect> {
        match self.string(errors)?.value().as_str() {
            "finish" => Some(OnDisconnect::Finish),
            "cancel" => Some(OnDisconnect::Cancel),
            _ => {
                self.mismatch(errors);
                None
            }
        }
    }

    fn port(&self, errors: &mut Errors) -> Option<u16> {
        let number: LitInt = self.value_as(errors)?;
        let port = number.base10_parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            self.mismatch(errors);
        }
        port
    }

    /// The patterns of paths. A start checks the patterns of `App::routes` by the rule that stands here.
    fn idle(&self, errors: &mut Errors) -> Vec<String> {
        let list = |input: ParseStream<'_>| {
            let content;
            syn::bracketed!(content in input);
            content.parse_terminated(<Expr as syn::parse::Parse>::parse, Token![,])
        };
        let Ok(patterns) = list.parse2(self.value.clone()) else {
            self.mismatch(errors);
            return Vec::new();
        };
        let mut valid = Vec::new();
        for mut pattern in patterns {
            // A fragment of `macro_rules!` comes in a group that is not seen.
            while let Expr::Group(group) = pattern {
                pattern = *group.expr;
            }
            let Expr::Lit(ExprLit {
                lit: Lit::Str(text),
                ..
            }) = &pattern
            else {
                errors.push(
                    pattern,
                    "a pattern of `idle` is a string literal, such as `\"/health\"`",
                );
                continue;
            };
            let text = text.value();
            if is_pattern(&text) {
                valid.push(text);
            } else {
                errors.push(
                    pattern,
                    "a pattern of `idle` is a path that begins with `/`, such as `/health`, or one that ends with `/*`, such \
                     as `/assets/*`",
                );
            }
        }
        valid
    }

    /// A path, bare or in a string.
    fn path(&self, errors: &mut Errors) -> Option<Path> {
        let path = match syn::parse2::<LitStr>(self.value.clone()) {
            Ok(literal) => literal.parse_with(Path::parse_mod_style),
            Err(_) => Path::parse_mod_style.parse2(self.value.clone()),
        };
        path.map_err(|_| self.mismatch(errors)).ok()
    }

    fn string(&self, errors: &mut Errors) -> Option<LitStr> {
        self.value_as(errors)
    }

    fn value_as<T: syn::parse::Parse>(&self, errors: &mut Errors) -> Option<T> {
        syn::parse2(self.value.clone())
            .map_err(|_| self.mismatch(errors))
            .ok()
    }

    fn mismatch(&self, errors: &mut Errors) {
        let message = format!("`{}` takes {}", self.key.as_str(), self.key.expects());
        if self.value.is_empty() {
            errors.push(&self.ident, message);
        } else {
            errors.push(&self.value, message);
        }
    }
}

/// Whether `text` is a whole path, or one that ends with `/*`.
fn is_pattern(text: &str) -> bool {
    let path = text.strip_suffix('*').unwrap_or(text);
    let is_path = path.starts_with('/')
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'?' | b'#'));
    is_path && (path.len() == text.len() || path.ends_with('/'))
}

/// The arguments between the commas. A comma with nothing before it is a mistake; one at the end is not.
fn split_at_commas(tokens: TokenStream, keys: &[Key], errors: &mut Errors) -> Vec<TokenStream> {
    let mut arguments = Vec::new();
    let mut current = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if current.is_empty() {
                    errors.push(comma, expected_pair(keys[0]));
                } else {
                    arguments.push(mem::take(&mut current));
                }
            }
            other => current.extend([other]),
        }
    }
    if !current.is_empty() {
        arguments.push(current);
    }
    arguments
}

fn expected_pair(key: Key) -> String {
    format!("expected `key = value`, for example `{}`", key.example())
}

fn unknown(key: &str, keys: &[Key]) -> String {
    let mut message = format!("unknown argument `{key}`; expected ");
    match keys {
        [only] => message.push_str(&quoted(*only)),
        several => {
            let names: Vec<_> = several.iter().copied().map(quoted).collect();
            message.push_str("one of: ");
            message.push_str(&names.join(", "));
        }
    }
    let owners = owners(key);
    if !owners.is_empty() {
        message.push_str(&format!(
            "\n\nhelp: `{key}` is an argument of {}",
            owners.join(", ")
        ));
    } else if let Some(near) = nearest(key, keys) {
        message.push_str(&format!("\n\nhelp: did you mean {}?", quoted(near)));
    }
    message
}

/// The attributes that take an argument of this name.
fn owners(key: &str) -> Vec<String> {
    let takes = |role: &&&Role| role.keys.iter().any(|known| known.as_str() == key);
    role::ALL
        .iter()
        .filter(takes)
        .map(|role| format!("`#[agentcore::{}]`", role.attribute))
        .collect()
}

/// The mistake in `text`, and how a duration is written.
fn not_a_duration(key: Key, text: &str, error: &humantime::DurationError) -> String {
    use humantime::DurationError::{NumberOverflow, UnknownUnit};

    let name = key.as_str();
    let text = text.trim();
    let problem = match error {
        UnknownUnit { unit, .. } if unit.is_empty() && text.parse::<u64>().is_ok() => {
            return format!("`{name}` needs a unit; write `{name} = \"{text}s\"` for seconds");
        }
        UnknownUnit { unit, .. } if !unit.is_empty() => {
            format!(": `{unit}` is not a unit of time")
        }
        NumberOverflow => ": the number is too large".to_owned(),
        _ => String::new(),
    };
    format!(
        "`{name}` is not a duration{problem}\n\n\
         help: write a number and its unit (`ms`, `s`, `m`, `h` or `d`), for example `{name} = \"90s\"` or \
         `{name} = \"1h 30m\"`"
    )
}

fn quoted(key: Key) -> String {
    format!("`{}`", key.as_str())
}

/// The key that `typed` may be a typo of. One letter may be wrong, or two in six and more.
fn nearest(typed: &str, keys: &[Key]) -> Option<Key> {
    keys.iter()
        .map(|&key| (distance(typed, key.as_str()), key))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, key)| distance <= (key.as_str().len() / 3).clamp(1, 2))
        .map(|(_, key)| key)
}

/// The number of letters to add, remove, replace or swap with the next one that turns `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Distances between prefixes: one row for each prefix of `a`, one column for each of `b`.
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
