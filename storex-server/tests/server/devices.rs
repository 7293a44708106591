//! `/v1/devices`: who is there, and who is shut out.

use serde_json::json;
use storex_server::{Config, IdentityConfig};
use storex_sync::http::{device_text, id_text};
use storex_sync::{Cursor, Device, LogRequest, SharedSyncLog as _};
use tokio::sync::oneshot;

use crate::support::{ADA, ADAS_LAPTOP, BOB, Hold, LAPTOP, PHONE, Site};

async fn register(site: &Site, token: &str, device: Device, name: &str) -> crate::support::Answer {
    let body = json!({"device": device_text(device), "name": name});
    site.ask("POST", "/v1/devices").token(token).json(&body).send().await
}

#[tokio::test]
async fn devices_are_listed_with_their_names_in_the_order_in_which_they_came() {
    let site = Site::start().await;
    let log = register(&site, ADA, PHONE, "Ada's phone").await.json();
    assert_eq!(log, register(&site, ADA, PHONE, "Ada's phone").await.json());
    assert_eq!(site.append(ADA, LAPTOP, 1, b"one").await.status, 204);
    let listed = site.get(ADA, "/v1/devices").await.json();
    let seen = 1_767_225_600_000_i64;
    let device = |device: Device, name: &str| json!({"id": id_text(device.id), "name": name, "registered_at": seen, "last_seen": seen, "revoked": false});
    assert_eq!(listed, json!([device(PHONE, "Ada's phone"), device(LAPTOP, "")]));
    assert_eq!(site.get(BOB, "/v1/devices").await.json(), json!([]));
}

#[tokio::test]
async fn a_revoked_device_is_told_so_wherever_it_comes_and_holds_nothing_back() {
    let site = Site::start().await;
    register(&site, ADA, PHONE, "").await;
    register(&site, ADA, LAPTOP, "").await;
    let path = format!("/v1/devices/{}", id_text(PHONE.id));
    for _ in 0..2 {
        let answer = site.ask("DELETE", &path).token(ADA).send().await;
        assert_eq!((answer.status, answer.body.len()), (204, 0));
    }
    let members = site.store.log_of("ada").members().await.unwrap();
    assert_eq!(members.iter().map(|it| it.device).collect::<Vec<_>>(), [LAPTOP]);

    // In each of its incarnations.
    let again = Device { incarnation: PHONE.incarnation + 1, ..PHONE };
    for device in [PHONE, again] {
        let refused = [
            register(&site, ADA, device, "").await,
            site.append(ADA, device, 1, b"one").await,
            site.get(ADA, &format!("/v1/log/changed?device={}&after=", device_text(device))).await,
        ];
        for answer in refused {
            assert_eq!((answer.status, answer.code().as_str()), (403, "revoked"));
        }
    }
    let listed = site.get(ADA, "/v1/devices").await.json();
    assert_eq!((&listed[0]["revoked"], &listed[1]["revoked"]), (&json!(true), &json!(false)));
    // Another user's device of the same name is another one.
    assert_eq!(site.append(BOB, PHONE, 1, b"one").await.status, 204);
}

#[tokio::test]
async fn a_token_of_one_device_is_good_for_no_other() {
    let site = Site::start().await;
    assert_eq!(site.append(ADAS_LAPTOP, LAPTOP, 1, b"one").await.status, 204);
    let of_phone = [
        site.append(ADAS_LAPTOP, PHONE, 1, b"one").await,
        register(&site, ADAS_LAPTOP, PHONE, "").await,
        site.ask("DELETE", &format!("/v1/devices/{}", id_text(PHONE.id)))
            .token(ADAS_LAPTOP)
            .send()
            .await,
        site.ask("POST", "/v1/log/dismiss")
            .token(ADAS_LAPTOP)
            .json(&json!({"device": device_text(PHONE)}))
            .send()
            .await,
        site.get(ADAS_LAPTOP, &format!("/v1/log/changed?device={}&after=", device_text(PHONE)))
            .await,
    ];
    for answer in of_phone {
        assert_eq!((answer.status, answer.code().as_str()), (403, "forbidden"), "{answer:?}");
    }
    // Once the device is shut out, its token is good for nothing, also where no device is named.
    let path = format!("/v1/devices/{}", id_text(LAPTOP.id));
    assert_eq!(site.ask("DELETE", &path).token(ADA).send().await.status, 204);
    assert_eq!(site.get(ADAS_LAPTOP, "/v1/devices").await.code(), "revoked");
}

/// Whoever was shut out has the user's token still, where that is bound to nothing: it opens no log under another name.
#[tokio::test]
async fn where_tokens_must_be_bound_one_that_is_not_opens_no_log() {
    let identity = IdentityConfig { bound_tokens_only: true };
    let site = Site::with(Config { identity, ..Config::default() }).await;
    assert_eq!(register(&site, ADAS_LAPTOP, LAPTOP, "").await.status, 200);
    assert_eq!(site.append(ADAS_LAPTOP, LAPTOP, 1, b"one").await.status, 204);
    let as_nobody = LogRequest { read: Some(Cursor::default()), ..LogRequest::default() };
    let page = format!("/v1/snapshots/{}/7/pages/0", device_text(PHONE));
    let changed = format!("/v1/log/changed?device={}&after=", device_text(PHONE));
    for refused in [
        register(&site, ADA, PHONE, "").await,
        site.append(ADA, PHONE, 1, b"one").await,
        site.exchange(ADA, &as_nobody).await,
        site.get(ADA, &changed).await,
        site.get(ADA, &page).await,
        site.get(ADA, "/v1/snapshots").await,
        site.get(ADA, "/v1/keys").await,
        site.ask("POST", "/v1/log/trim").token(ADA).send().await,
    ] {
        assert_eq!((refused.status, refused.code().as_str()), (403, "forbidden"), "{refused:?}");
    }
    let devices = site.get(ADA, "/v1/devices").await.json();
    assert_eq!(devices.as_array().unwrap().len(), 1, "nobody was noted: {devices}");
    // It is what a lost device is shut out with.
    assert_eq!(site.get(ADA, "/v1/log/members").await.json().as_array().unwrap().len(), 1);
    let path = format!("/v1/devices/{}", id_text(LAPTOP.id));
    assert_eq!(site.ask("DELETE", &path).token(ADA).send().await.status, 204);
    assert_eq!(site.append(ADAS_LAPTOP, LAPTOP, 2, b"two").await.code(), "revoked");
}

#[tokio::test]
async fn nobody_reads_everything_and_writes_nothing() {
    let site = Site::start().await;
    site.append(ADA, LAPTOP, 1, b"one").await;
    let page = site.read(ADA, Device::NOBODY, Cursor::default()).await;
    assert_eq!(page.transactions.len(), 1);
    let acknowledge = LogRequest { acknowledge: Some(page.cursor), ..LogRequest::default() };
    assert_eq!(site.exchange(ADA, &acknowledge).await.code(), "forbidden");
    assert_eq!(site.get(ADA, "/v1/devices").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_dismissed_device_is_no_member_until_it_comes_again() {
    let site = Site::start().await;
    register(&site, ADA, PHONE, "").await;
    let dismiss = json!({"device": device_text(PHONE)});
    for dismissed in [true, false] {
        let answer = site.ask("POST", "/v1/log/dismiss").token(ADA).json(&dismiss).send().await;
        assert_eq!((answer.status, answer.json()), (200, json!({"dismissed": dismissed})));
    }
    assert_eq!(site.get(ADA, "/v1/log/members").await.json(), json!([]));
    assert_eq!(register(&site, ADA, PHONE, "").await.status, 200);
    assert_eq!(site.get(ADA, "/v1/log/members").await.json().as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_asked_before_a_device_was_shut_out_does_not_let_it_in_after_it() {
    let site = Site::start().await;
    register(&site, ADA, PHONE, "").await;
    let ((holds, held), (go_on, goes_on)) = (oneshot::channel(), oneshot::channel());
    *site.store.hold.lock().unwrap() = Some(Hold { holds, go_on: goes_on });
    let path = format!("/v1/devices/{}", id_text(PHONE.id));
    let shut_out = async {
        held.await.unwrap();
        assert_eq!(site.ask("DELETE", &path).token(ADA).send().await.status, 204);
        go_on.send(()).unwrap();
    };
    let (meanwhile, ()) = tokio::join!(site.append(ADA, PHONE, 1, b"one"), shut_out);
    assert_eq!(meanwhile.status, 204, "it was let in before");
    assert_eq!(site.append(ADA, PHONE, 2, b"two").await.code(), "revoked");
}
