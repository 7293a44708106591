//! What a server is measured against: a bare axum handler that writes the same rows.
//!
//! It looks the token up in a map, writes the transactions and the device's row in one database transaction, and answers with as many
//! bytes. Nothing else: no limits, no devices that are shut out, no numbers that are compared, no news for whoever waits.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use deadpool_postgres::{Manager, Pool};
use rusqlite::{Connection, params};
use storex_sync::http::wire;
use storex_sync::{Cursor, LogId, LogRequest, Page};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;

use crate::server_side::{token, user};

/// As many as the server's own.
const CONNECTIONS: usize = 16;

const SQLITE: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS entry(
        user TEXT NOT NULL, position INTEGER NOT NULL, device BLOB NOT NULL, sequence INTEGER NOT NULL, payload BLOB NOT NULL,
        PRIMARY KEY (user, position)) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS device(
        user TEXT NOT NULL, device BLOB NOT NULL, last_sequence INTEGER NOT NULL, acknowledged INTEGER NOT NULL,
        PRIMARY KEY (user, device)) STRICT, WITHOUT ROWID;";

const POSTGRES: &str = "
    CREATE TABLE IF NOT EXISTS public.entry(
        account text NOT NULL, position bigserial NOT NULL, device bytea NOT NULL, sequence bigint NOT NULL, payload bytea NOT NULL,
        PRIMARY KEY (account, position));
    CREATE TABLE IF NOT EXISTS public.device(
        account text NOT NULL, device bytea NOT NULL, last_sequence bigint NOT NULL, acknowledged bigint NOT NULL,
        PRIMARY KEY (account, device));";

/// Both kinds of rows in one statement, which is a transaction.
const WRITE: &str = "
    WITH written AS (
        INSERT INTO public.entry (account, device, sequence, payload)
        SELECT $1, $2, sequence, payload FROM unnest($3::bigint[], $4::bytea[]) AS sent (sequence, payload))
    INSERT INTO public.device VALUES ($1, $2, $5, $6) ON CONFLICT (account, device)
        DO UPDATE SET last_sequence = excluded.last_sequence, acknowledged = excluded.acknowledged";

/// Where it keeps its rows.
enum Rows {
    Sqlite(Mutex<Connection>),
    Postgres(Pool),
}

struct Hand {
    users: HashMap<String, String>,
    rows: Rows,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, place: Place, users: usize) {
    let rows = match place {
        Place::Sqlite(path) => {
            let connection = Connection::open(Path::new(&path)).unwrap();
            connection.execute_batch(SQLITE).unwrap();
            Rows::Sqlite(Mutex::new(connection))
        }
        Place::Postgres(address) => {
            let manager = Manager::new(address.parse().unwrap(), NoTls);
            let pool = Pool::builder(manager).max_size(CONNECTIONS).build().unwrap();
            pool.get().await.unwrap().batch_execute(POSTGRES).await.unwrap();
            Rows::Postgres(pool)
        }
    };
    let users = (0..users).map(|n| (token(n), user(n))).collect();
    let app = axum::Router::new()
        .route("/v1/log/exchange", post(exchange))
        .with_state(Arc::new(Hand { users, rows }));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        stream.set_nodelay(true).unwrap();
    });
    axum::serve(listener, app).await.unwrap();
}

/// Where the rows of a hand-written server are.
pub(crate) enum Place {
    /// In this file.
    Sqlite(String),
    /// In the database at this address.
    Postgres(String),
}

async fn exchange(
    State(hand): State<Arc<Hand>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Vec<u8>, StatusCode> {
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer "));
    let user = token.and_then(|token| hand.users.get(token)).ok_or(StatusCode::UNAUTHORIZED)?;
    let request = wire::decode_request(&body, 10_000).map_err(|_| StatusCode::BAD_REQUEST)?;
    let user = user.clone();
    let position = match &hand.rows {
        Rows::Postgres(pool) => in_postgres(pool, &user, &request).await,
        Rows::Sqlite(_) => {
            let task = move || match &hand.rows {
                Rows::Sqlite(connection) => {
                    in_sqlite(&mut connection.lock().unwrap(), &user, &request)
                }
                Rows::Postgres(_) => 0,
            };
            tokio::task::spawn_blocking(task).await.unwrap()
        }
    };
    let page = Page {
        log: LogId([7; 16]),
        transactions: Vec::new(),
        cursor: Cursor::at(position),
        more: false,
        own: 1,
        missing: Vec::new(),
    };
    Ok(wire::encode_page(&page))
}

fn in_sqlite(connection: &mut Connection, user: &str, request: &LogRequest) -> u64 {
    let LogRequest { device, acknowledge, append, read } = request;
    let device = device.id.as_slice();
    let Some(last) = append.last() else {
        let after = read.as_ref().map_or(0, |place| place.position().unwrap());
        let mut found = connection
            .prepare_cached("SELECT position, device, sequence, payload FROM entry WHERE user = ? AND position > ? AND device <> ? LIMIT 1000")
            .unwrap();
        assert!(!found.exists(params![user, after.cast_signed(), device]).unwrap());
        return after;
    };
    let transaction = connection.transaction().unwrap();
    let before: i64 = transaction
        .prepare_cached("SELECT coalesce(max(position), 0) FROM entry WHERE user = ?")
        .unwrap()
        .query_row([user], |row| row.get(0))
        .unwrap();
    let mut position = before;
    {
        let mut write =
            transaction.prepare_cached("INSERT INTO entry VALUES (?, ?, ?, ?, ?)").unwrap();
        for it in append {
            position += 1;
            let values = params![user, position, device, it.sequence.cast_signed(), it.payload];
            write.execute(values).unwrap();
        }
        let acknowledged = acknowledge.as_ref().map_or(0, |place| place.position().unwrap());
        transaction
            .prepare_cached("INSERT OR REPLACE INTO device VALUES (?, ?, ?, ?)")
            .unwrap()
            .execute(params![user, device, last.sequence.cast_signed(), acknowledged.cast_signed()])
            .unwrap();
    }
    transaction.commit().unwrap();
    position.cast_unsigned()
}

async fn in_postgres(pool: &Pool, user: &str, request: &LogRequest) -> u64 {
    let LogRequest { device, acknowledge, append, read } = request;
    let device = device.id.as_slice();
    let client = pool.get().await.unwrap();
    let place = |cursor: &Option<Cursor>| {
        cursor.as_ref().map_or(0, |place| place.position().unwrap()).cast_signed()
    };
    let Some(last) = append.last() else {
        let after = place(read);
        let read = "SELECT position, device, sequence, payload FROM public.entry WHERE account = $1 AND position > $2 AND device <> $3 LIMIT 1000";
        let read = client.prepare_cached(read).await.unwrap();
        assert!(client.query(&read, &[&user, &after, &device]).await.unwrap().is_empty());
        return after.cast_unsigned();
    };
    let numbers: Vec<i64> = append.iter().map(|it| it.sequence.cast_signed()).collect();
    let payloads: Vec<&[u8]> = append.iter().map(|it| it.payload.as_slice()).collect();
    let (last, acknowledged) = (last.sequence.cast_signed(), place(acknowledge));
    let write = client.prepare_cached(WRITE).await.unwrap();
    let written =
        client.execute(&write, &[&user, &device, &numbers, &payloads, &last, &acknowledged]).await;
    written.unwrap();
    // So that what is asked next is behind all that was written.
    i64::MAX.cast_unsigned()
}
