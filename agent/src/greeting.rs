//! The first words with the service, before a line is sent: whether there are credentials to sign
//! with, and what time it is there.

use std::sync::mpsc::Sender;
use std::time::Duration;

use oci::LogClient;

use crate::admin::Board;
use crate::engine::Message;
use crate::sender::since_epoch;

/// Between two attempts to have credentials.
const RETRY: Duration = Duration::from_secs(5);

/// Tells the pipelines the service's time, if they want it, and the board when there are
/// credentials. Requests have them renewed by themselves from then on.
pub async fn run(client: LogClient, board: Board, pipelines: Vec<Sender<Message>>) {
    tokio::join!(ask_time(&client, &pipelines), sign_in(&client, &board));
}

async fn ask_time(client: &LogClient, pipelines: &[Sender<Message>]) {
    if pipelines.is_empty() {
        return;
    }
    let date = client.reach().await.ok().flatten().map(since_epoch);
    for pipeline in pipelines {
        // One that has ended does not want to know.
        let _ = pipeline.send(Message::ServiceTime(date));
    }
}

async fn sign_in(client: &LogClient, board: &Board) {
    while let Err(error) = client.client().load_credentials().await {
        board.signed_in(Err(format!("no credentials yet: {error}")));
        tokio::time::sleep(RETRY).await;
    }
    board.signed_in(Ok(()));
}
