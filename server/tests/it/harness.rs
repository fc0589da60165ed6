//! The server of fake models, and what only these tests ask of it.

#[expect(dead_code, reason = "other tests need more of it")]
#[path = "../harness/mod.rs"]
mod shared;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub(crate) use self::shared::blocking::{Answer, Api, wait_until};

impl Api {
    /// Sends raw bytes and reads until the connection ends or `wait` is over; gives what came.
    pub(crate) fn raw(&self, sent: &[u8], wait: Duration) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream.write_all(sent).unwrap();
        stream.set_read_timeout(Some(wait)).unwrap();
        let mut came = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            came.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&came).into_owned()
    }
}

impl Answer {
    /// Status, the headers that mean something, and body, with the prediction id blotted out.
    pub(crate) fn shown(&self) -> String {
        let headers = ["allow", "retry-after", "x-emberline-version", "x-emberline-cache"];
        let headers: String =
            headers.iter().filter_map(|name| Some(format!(" {name}: {}", self.header(name)?))).collect();
        let id = self.header("x-emberline-prediction-id").unwrap_or("no id");
        format!("{}{headers}\n    {}", self.status, self.body.replace(id, "ID"))
    }
}

/// A request of the model `sum` for one row.
pub(crate) fn infer_body(one: f32, other: f32) -> String {
    format!(r#"{{"inputs":[{{"name":"features","shape":[1,2],"datatype":"FP32","data":[{one:?},{other:?}]}}]}}"#)
}
