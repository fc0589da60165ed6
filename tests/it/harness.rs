//! A home of its own for every test, and the binary in it.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// A home folder with the binary to run in it.
pub(crate) struct Emberline {
    home: TempDir,
}

impl Emberline {
    pub(crate) fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    /// A file in the home folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file into the home folder and gives its path as text.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.file(name);
        fs_err::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The binary, with no setting from the surroundings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_emberline"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EMBERLINE_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("EMBERLINE_HOME", self.home.path()).env("EMBERLINE_DEVICE", "cpu");
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?} failed: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs a command that must succeed and prints one JSON value.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// Runs a command that must fail with `code`; gives its one line of complaint.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        let complaint = text(&output.stderr).trim_end().to_owned();
        complaint.replace(&self.home.path().display().to_string(), "HOME")
    }

    /// Trains a model that must be registered; gives its last event.
    pub(crate) fn train(&self, arguments: &[&str]) -> Value {
        let printed = self.ok(&[&["train", "--json"], arguments].concat());
        let last: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "registered", "{last}");
        last
    }

    /// Starts a server on a free port and waits until it is ready.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Server {
        let server = self.start(arguments);
        server.wait_until_ready();
        server
    }

    /// Starts a server on a free port; it may not be ready yet.
    pub(crate) fn start(&self, arguments: &[&str]) -> Server {
        let address = free_address();
        let mut child = self
            .command(&[&["serve", "--http", &address], arguments].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The log is read all the time, so that the pipe never fills; it is shown when a test fails.
        let log = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
        Server { child, address }
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Server {
    pub(crate) fn wait_until_ready(&self) {
        let started = Instant::now();
        while self.try_get("/v2/health/ready").is_none_or(|answer| answer.status != 200) {
            assert!(started.elapsed() < Duration::from_mins(1), "the server did not get ready");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_global(Some(Duration::from_secs(30))).build().into()
    }

    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        Self::agent().get(format!("http://{}{path}", self.address)).call().ok().map(answer)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        answer(Self::agent().post(format!("http://{}{path}", self.address)).send(body.to_string()).unwrap())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        answer(Self::agent().put(format!("http://{}{path}", self.address)).send(body.to_string()).unwrap())
    }

    /// Sends a signal by name, such as TERM.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

/// Sends a signal by name to a process.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A table of houses: numbers, a category, a flag and a date, each with gaps; the price follows from them.
pub(crate) fn houses(rows: usize) -> String {
    let mut csv = "area,rooms,district,garden,built,price\n".to_owned();
    for index in 0..rows {
        // Numbers that look random and are the same everywhere.
        let draw = |salt: usize, below: usize| (index * 2_654_435_761 + salt * 40_503) / 97 % below;
        let (area, rooms, garden) = (40 + draw(1, 160), 1 + draw(2, 6), draw(3, 2) == 1);
        let district = ["north", "south", "east", "west"][draw(4, 4)];
        let year = 1950 + draw(5, 70);
        let premium = if district == "north" { 50 } else { 0 };
        let price = area * 3 + rooms * 10 + premium + usize::from(garden) * 25 + (year - 1950) / 2;
        let or_gap = |salt: usize, text: String| if draw(salt, 20) == 0 { String::new() } else { text };
        let (area, district) = (or_gap(6, area.to_string()), or_gap(7, district.to_owned()));
        let (garden, month) = (or_gap(8, garden.to_string()), 1 + draw(9, 9));
        csv += &format!("{area},{rooms},{district},{garden},{year}-0{month}-15,{price}\n");
    }
    csv
}

/// Whether two numbers are equal but for the last digits of an f32.
pub(crate) fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-5 * one.abs().max(other.abs()).max(1.0)
}

/// The folder of a version's artifact.
pub(crate) fn artifact(version: &Value) -> PathBuf {
    Path::new(version["location"].as_str().unwrap().trim_start_matches("file://")).to_path_buf()
}
