//! One client: does what its plan says and judges what comes back.

mod grpc;
mod http;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tonic::transport::Channel;

use self::http::{Connection, Request, request};
use crate::{
    plan::{Act, Manner, Plan, Transport, Wanted},
    tally::{Tally, Violation},
    verdict::{End, Seen, judge},
    world::{BODY_TIMEOUT, REQUEST_TIMEOUT, World},
};

/// Longest time to any answer.
const PATIENCE: Duration = REQUEST_TIMEOUT.saturating_add(Duration::from_secs(10));

/// One of those who ask.
pub(crate) struct Client {
    pub(crate) number: u64,
    pub(crate) world: Arc<World>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) channel: Channel,
    pub(crate) connection: Option<Connection>,
}

impl Client {
    /// Works until `until`, or until somebody found enough.
    pub(crate) async fn work(mut self, seed: u64, until: Instant) {
        let mut plan = Plan::new(seed, self.number);
        let mut count = 0_u64;
        while Instant::now() < until && !self.tally.is_full() {
            let act = plan.next();
            tokio::time::sleep(act.pause).await;
            self.act(&act, count).await;
            count += 1;
        }
    }

    async fn act(&mut self, act: &Act, count: u64) {
        let id = format!("{}-{count}", self.number);
        let number = match act.wanted {
            Wanted::Number(back) => Some(self.world.history.number(act.model, back)),
            Wanted::Default | Wanted::Alias(_) => None,
        };
        let asked = Instant::now();
        let patience = if act.manner == Manner::Stalls { BODY_TIMEOUT + Duration::from_secs(5) } else { PATIENCE };
        let ends = timeout(patience, async {
            match act.transport {
                Transport::Grpc => vec![(id.clone(), self.over_grpc(act, &id, number).await)],
                Transport::Json | Transport::Binary => self.over_http(act, &id, number).await,
            }
        });
        let ends = ends.await.unwrap_or_else(|_elapsed| {
            self.connection = None;
            vec![(id.clone(), End::Closed(format!("nothing came for {patience:?}")))]
        });
        let ended = Instant::now();
        for (id, end) in &ends {
            self.tally.count(act, end);
            let seen = Seen { act, id, number, asked, ended, end };
            if let Err(what) = judge(&seen, &self.world.history) {
                let event = format!("client {}, decision {count}: {act:?}", self.number);
                self.tally.violated(Violation { what, event });
            }
        }
    }

    async fn over_grpc(&mut self, act: &Act, id: &str, number: Option<u32>) -> End {
        let asking = grpc::ask(&self.channel, act, id, number);
        match act.manner {
            Manner::LeavesUnread(after) => timeout(after, asking).await.unwrap_or(End::Left),
            _ => asking.await,
        }
    }

    async fn over_http(&mut self, act: &Act, id: &str, number: Option<u32>) -> Vec<(String, End)> {
        let wanted = request(act, id, number);
        match self.behave(act, id, number, &wanted).await {
            Ok(ends) => ends,
            Err(error) => {
                self.connection = None;
                vec![(id.to_owned(), End::Closed(error.to_string()))]
            }
        }
    }

    async fn behave(
        &mut self,
        act: &Act,
        id: &str,
        number: Option<u32>,
        wanted: &Request,
    ) -> std::io::Result<Vec<(String, End)>> {
        let alone = |end: End| Ok(vec![(id.to_owned(), end)]);
        let half = wanted.body.len() / 2;
        if matches!(act.manner, Manner::Plain) {
            return alone(self.ask(wanted).await?);
        }
        // Whoever misbehaves does so on a connection of its own.
        let mut own = Connection::open(self.world.http).await?;
        match act.manner {
            Manner::Plain => alone(self.ask(wanted).await?),
            Manner::Pipelined => {
                let second_id = format!("{id}+");
                let second = request(act, &second_id, number);
                let both = [wanted.head.as_bytes(), &wanted.body, second.head.as_bytes(), &second.body].concat();
                own.send(&both).await?;
                let (first, stays) = own.read().await;
                let second = if stays { own.read().await.0 } else { End::Left };
                Ok(vec![(id.to_owned(), first), (second_id, second)])
            }
            Manner::Bytewise => {
                own.send_bytewise(wanted).await?;
                alone(own.read().await.0)
            }
            Manner::Stalls => {
                own.send(wanted.head.as_bytes()).await?;
                own.send(&wanted.body[..half]).await?;
                alone(own.read().await.0)
            }
            Manner::LeavesInside => {
                own.send(wanted.head.as_bytes()).await?;
                own.send(&wanted.body[..half]).await?;
                alone(End::Left)
            }
            Manner::LeavesUnread(after) => {
                own.send_whole(wanted).await?;
                tokio::time::sleep(after).await;
                alone(End::Left)
            }
            Manner::Resets(after) => {
                own.send_whole(wanted).await?;
                tokio::time::sleep(after).await;
                own.reset()?;
                alone(End::Left)
            }
            Manner::HalfCloses => {
                own.send_whole(wanted).await?;
                own.close_half().await?;
                alone(own.read().await.0)
            }
            Manner::Garbage => {
                let body = wanted.body.iter().map(|byte| byte.rotate_left(1)).collect();
                own.send_whole(&Request { head: wanted.head.clone(), body }).await?;
                alone(own.read().await.0)
            }
        }
    }

    /// Asks on the connection that stays.
    async fn ask(&mut self, wanted: &Request) -> std::io::Result<End> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.world.http).await?,
        };
        connection.send_whole(wanted).await?;
        let (end, stays) = connection.read().await;
        if stays && connection.has_more() {
            return Ok(End::Closed("there are bytes behind the answer".to_owned()));
        }
        self.connection = stays.then_some(connection);
        Ok(end)
    }
}
