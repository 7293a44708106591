#![allow(clippy::all, clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]
use std::sync::Arc;
use std::time::Instant;
use storex_core::*;
use storex_sqlite::*;

fn rows(n: usize, base: usize, v4: bool) -> Vec<Record> {
    (0..n).map(|i| {
        let k = (base + i) as u64;
        let hi = if v4 { k.wrapping_mul(0x9e3779b97f4a7c15) } else { k };
        let id = format!("{:08x}-{:04x}-7000-8000-{:012x}", hi >> 32, (hi >> 16) & 0xffff, hi & 0xffffffff);
        Record::new(vec![id.into(), format!("title number {k:>27}").into(), "b".repeat(200).into(), "[\"alpha\",\"beta\",\"gamma\"]".into(), Value::Int(1_700_000_000_000 + k as i64), Value::Int(1_700_000_000_000 + k as i64)])
    }).collect()
}

fn hand(dir: &std::path::Path, v4: bool, table: &str) -> f64 {
    let path = dir.join(format!("hand{v4}{}.db", table.len()));
    let _ = std::fs::remove_file(&path);
    let mut c = rusqlite::Connection::open(path).unwrap();
    c.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(())).unwrap();
    c.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
    c.execute_batch(table).unwrap();
    c.execute_batch("CREATE INDEX n1 ON note(created_at)").unwrap();
    let mut t = 0.0;
    for b in 0..100 {
        let rows = rows(1000, b * 1000, v4);
        let start = Instant::now();
        let tx = c.transaction().unwrap();
        {
            let mut s = tx.prepare_cached("INSERT INTO note VALUES (?,?,?,?,?,?)").unwrap();
            for r in &rows {
                let v = r.values();
                s.execute((v[0].as_text(), v[1].as_text(), v[2].as_text(), v[3].as_text(), v[4].as_int(), v[5].as_int())).unwrap();
            }
        }
        tx.commit().unwrap();
        t += start.elapsed().as_secs_f64();
    }
    100_000.0 / t
}

async fn ours(dir: &std::path::Path, v4: bool) -> (f64, f64, f64, f64, f64) {
    let reg = Arc::new(Registry::builder().collection(Definition::new("note").field("id", FieldType::AutoPk(KeyFormat::Text)).field("title", FieldType::String).field("body", FieldType::Text).field("tags", FieldType::String).field("created_at", FieldType::Int).field("updated_at", FieldType::Int).index(["created_at"])).build().unwrap());
    let path = dir.join("ours.db");
    for s in ["", "-wal", "-shm"] { let _ = std::fs::remove_file(format!("{}{s}", path.display())); }
    let be = SqliteBackend::builder(path).durability(Durability::Normal).build().unwrap();
    be.open(reg.clone()).await.unwrap();
    let mut t = 0.0;
    for b in 0..100 {
        let rows = rows(1000, b * 1000, v4);
        let batch = Batch::new().create("note", rows);
        let start = Instant::now();
        be.execute(batch).await.unwrap();
        t += start.elapsed().as_secs_f64();
    }
    let create = 100_000.0 / t;
    // single creates
    let singles: Vec<Batch> = rows(5000, 1_000_000, v4).into_iter().map(|r| Batch::new().create("note", vec![r])).collect();
    let start = Instant::now();
    for b in singles { be.execute(b).await.unwrap(); }
    let single = 5000.0 / start.elapsed().as_secs_f64();
    // point reads
    let keys: Vec<Key> = rows(20000, 0, v4).iter().map(|r| Key::single(r.get(0).clone())).collect();
    let start = Instant::now();
    for k in keys.iter() { assert_eq!(be.find(Query::new("note").filter(Filter::key(k.as_text().unwrap()))).await.unwrap().len(), 1); }
    let read = 20000.0 / start.elapsed().as_secs_f64();
    // indexed queries
    let start = Instant::now();
    for i in 0..2000i64 { assert_eq!(be.find(Query::new("note").filter(field("created_at").gte(1_700_000_000_000 + i * 40)).order_by("created_at", Direction::Ascending).limit(50)).await.unwrap().len(), 50); }
    let q = 2000.0 / start.elapsed().as_secs_f64();
    let mut t = 0.0;
    for c in keys.chunks(1000) {
        let mut b = Batch::new();
        for k in c { b = b.update("note", Filter::from(k), Changes::new().set("updated_at", 5i64)); }
        let start = Instant::now();
        be.execute(b).await.unwrap();
        t += start.elapsed().as_secs_f64();
    }
    let upd = 20000.0 / t;
    be.close().await.unwrap();
    (create, single, read, q, upd)
}

fn hand_more(dir: &std::path::Path) -> (f64, f64, f64, f64) {
    let c = rusqlite::Connection::open(dir.join(format!("handfalse{}.db", T1.len()))).unwrap();
    c.execute_batch("PRAGMA synchronous=NORMAL").unwrap();
    let singles = rows(5000, 1_000_000, false);
    let start = Instant::now();
    for r in &singles {
        let mut s = c.prepare_cached("INSERT INTO note VALUES (?,?,?,?,?,?)").unwrap();
        let v = r.values();
        s.execute((v[0].as_text(), v[1].as_text(), v[2].as_text(), v[3].as_text(), v[4].as_int(), v[5].as_int())).unwrap();
    }
    let single = 5000.0 / start.elapsed().as_secs_f64();
    let keys: Vec<Key> = rows(20000, 0, false).iter().map(|r| Key::single(r.get(0).clone())).collect();
    let get = |r: &rusqlite::Row| -> rusqlite::Result<(String, String, String, String, i64, i64)> { Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?)) };
    let start = Instant::now();
    for k in &keys {
        let mut s = c.prepare_cached("SELECT * FROM note WHERE id = ?").unwrap();
        let _ = s.query_row([k.as_text().unwrap()], get).unwrap();
    }
    let read = 20000.0 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for i in 0..2000i64 {
        let mut s = c.prepare_cached("SELECT * FROM note WHERE created_at >= ? ORDER BY created_at LIMIT 50").unwrap();
        let n = s.query_map([1_700_000_000_000 + i * 40], get).unwrap().map(|r| r.unwrap()).collect::<Vec<_>>().len();
        assert_eq!(n, 50);
    }
    let q = 2000.0 / start.elapsed().as_secs_f64();
    let mut t = 0.0;
    for ch in keys.chunks(1000) {
        let start = Instant::now();
        c.execute_batch("BEGIN IMMEDIATE").unwrap();
        { let mut s = c.prepare_cached("UPDATE note SET updated_at = ? WHERE id = ?").unwrap();
        for k in ch { s.execute((5i64, k.as_text())).unwrap(); } }
        c.execute_batch("COMMIT").unwrap();
        t += start.elapsed().as_secs_f64();
    }
    (single, read, q, 20000.0 / t)
}
const T1: &str = "CREATE TABLE note(id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, tags TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL)";
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let t3: String = format!("{T1} STRICT");
    let t2: String = format!("{T1} WITHOUT ROWID");
    for _ in 0..4 {
        for v4 in [false, true] {
            let h = hand(&dir, v4, T1); let h3 = hand(&dir, v4, &t3); let h2 = hand(&dir, v4, &t2);
            let (create, single, read, q, upd) = ours(&dir, v4).await;
            println!("v4={v4} hand {h:.0} strict {h3:.0} without rowid {h2:.0} | ours {create:.0} = {:.2}", create / h);
            if !v4 {
                let (hs, hr, hq, hu) = hand_more(&dir);
                println!("   single {single:.0}/{hs:.0}={:.2} read {read:.0}/{hr:.0}={:.2} query {q:.0}/{hq:.0}={:.2} update {upd:.0}/{hu:.0}={:.2}", single / hs, read / hr, q / hq, upd / hu);
            }
        }
    }
}
