//! A lock of the vault, at every stage of a call.

use kv_fakes::{Protocols, Reply, Script, Scripted, ServeOptions, Step, serve};

use super::lab::{Lab, Seen, patient, soon};
use crate::{BodyError, SendError, Sent};

#[tokio::test]
async fn while_the_service_thinks() {
    let lab = Lab::new(patient());
    let service = Scripted::start(&lab.ca, Script::then([Step::Hang])).unwrap();
    let connection = lab.to(&service);
    let lock = async {
        service.wait_for(1).await.unwrap();
        lab.shared.forget();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        answer = lab.get(&connection, "/things") => answer.err().unwrap(),
        () = lock => unreachable!(),
    };
    assert_eq!((error.clone(), error.code()), (SendError::Locked { sent: Sent::Unknown }, "egress.locked"));
    soon("the connection closes", || service.open_connections() == 0).await;
}

#[tokio::test]
async fn while_the_answer_comes() {
    let lab = Lab::new(patient());
    let steps = [Step::send("HTTP/1.1 200 OK\r\n\r\n"), Step::send("first.\n"), Step::Hang];
    let service = Scripted::start(&lab.ca, Script::then(steps)).unwrap();
    let mut answer = lab.get(&lab.to(&service), "/things").await.unwrap();
    assert_eq!(answer.body.next().await.unwrap().unwrap(), "first.\n");
    lab.shared.forget();
    assert_eq!(answer.body.next().await.unwrap().unwrap_err(), BodyError::Locked);
    assert!(answer.body.next().await.is_none());
    soon("the connection closes", || service.open_connections() == 0).await;
}

#[tokio::test]
async fn while_connections_are_kept() {
    for protocols in [Protocols::Http1, Protocols::Http2] {
        let lab = Lab::new(patient());
        let fake = |_: &kv_fakes::Recorded| Reply::bytes(200, "text/plain", "ok");
        let service = serve(fake, &lab.ca, ServeOptions { protocols, ..Default::default() }).unwrap();
        let connection = lab.to(&service);
        Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        lab.shared.forget();
        soon("the kept connection closes", || service.open_connections() == 0).await;
        // The vault may be unlocked again: the next call begins anew.
        Seen::of(lab.get(&connection, "/things").await.unwrap()).await.unwrap();
        assert_eq!(service.connections(), 2);
    }
}
