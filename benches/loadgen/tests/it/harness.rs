//! A server of a few lines that does what a test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use loadgen::{Load, Pace, Protocol, Report, RequestSpec, Requests, Signature, Target};

/// A request as it came.
pub(crate) struct Received {
    /// How many came before it.
    pub(crate) number: u64,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What the server does with it.
pub(crate) enum Reply {
    Status(u16),
    /// A whole answer, byte by byte as it is.
    Raw(&'static str),
    /// An answer, and the end of the connection.
    Last(&'static str),
    Close,
    Silence,
}

/// Starts a server that lives until the test ends; gives its address and how many inference requests it took.
pub(crate) fn serve(reply: impl Fn(Received) -> Reply + Send + Sync + 'static) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (reply, count) = (Arc::new(reply), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (reply, count) = (Arc::clone(&reply), Arc::clone(&counted));
            thread::spawn(move || connection(stream, reply.as_ref(), &count));
        }
    });
    (address, count)
}

const METADATA: &str = r#"{"name":"m","versions":["1"],"platform":"","inputs":[{"name":"x","datatype":"FP32","shape":[-1,3]}],"outputs":[]}"#;

fn connection(stream: TcpStream, reply: &(dyn Fn(Received) -> Reply + Send + Sync), count: &AtomicU64) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if head.starts_with("GET /v2/models/m ") {
            writer.write_all(answer(200, METADATA).as_bytes()).ok()?;
            continue;
        }
        if head.starts_with("GET") {
            writer.write_all(answer(404, "").as_bytes()).ok()?;
            continue;
        }
        let number = count.fetch_add(1, Ordering::SeqCst);
        match reply(Received { number, head, body }) {
            Reply::Status(status) => writer.write_all(answer(status, "{\"error\":\"so it is\"}").as_bytes()).ok()?,
            Reply::Raw(text) => writer.write_all(text.as_bytes()).ok()?,
            Reply::Last(text) => {
                writer.write_all(text.as_bytes()).ok()?;
                return None;
            }
            Reply::Close => return None,
            Reply::Silence => thread::sleep(Duration::from_mins(10)),
        }
    }
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Told\r\ncontent-type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A load on a server, with what its metadata says.
pub(crate) struct Bench {
    pub(crate) load: Load,
    pub(crate) requests: Arc<Requests>,
}

impl Bench {
    pub(crate) fn new(address: &str, spec: &RequestSpec) -> Self {
        Self::over(address, Protocol::HttpJson, spec)
    }

    pub(crate) fn over(address: &str, protocol: Protocol, spec: &RequestSpec) -> Self {
        let target = Target::parse(address, Some(protocol), "m").unwrap();
        let signature = Signature::fetch(&target).unwrap();
        let requests = Arc::new(Requests::prepare(&target, &signature, spec).unwrap());
        let load = Load {
            duration: Duration::from_millis(600),
            warmup: Duration::from_millis(100),
            connections: 8,
            stages: false,
            ..Load::new(target)
        };
        Self { load, requests }
    }

    pub(crate) fn run(&self, pace: Pace) -> Report {
        Load { pace, ..self.load.clone() }.run(&self.requests, &mut |_| {}).unwrap()
    }
}
