//! Serves the API over a hub in memory on a free loopback port, for tools that test APIs. Prints
//! the address and a token with every scope, and ends when its input does.

use std::io::Read as _;

use bellwether_hub::access::{Access, Scope};
use bellwether_hub::{api, listen, testing};
use jiff::Timestamp;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let now = Timestamp::now();
    let hub = testing::filled(now);
    let token = hub.token("all", &Scope::ALL);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = api::router(hub.shared, Access::for_listener(address));
    tokio::spawn(testing::judge(hub.memory, hub.acts, now));
    #[expect(clippy::print_stdout, reason = "whoever starts it reads this")]
    {
        println!("url http://{address}\ntoken {token}");
    }
    let (ended, input_ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    listen::serve_http(listener, router, async {
        let _ = input_ended.await;
    })
    .await;
    Ok(())
}
