//! Chinook: a database that another program has made, with integer keys, a compound key, foreign keys, decimals and dates.
//!
//! The file is not a part of this repository. Where it is not there, one of the same shape can be made.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// The file, where the folder of real databases is: beside the repository, or further up.
#[must_use]
pub fn found() -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|it| it.join("shared/data/chinook.sqlite")).find(|it| it.exists())
}

/// Writes what is in it to this place, or makes one of the same shape there. Tells whether it is Chinook's own.
///
/// # Errors
/// The file system's and SQLite's.
pub fn bring(path: &Path) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    match found() {
        // Not as a copy of the file, which may be one that can only be read.
        Some(chinook) => std::fs::write(path, std::fs::read(chinook)?)?,
        None => make(path)?,
    }
    Ok(found().is_some())
}

/// Eleven tables with about as many rows.
fn make(path: &Path) -> rusqlite::Result<()> {
    let mut script = TABLES.to_owned();
    for (table, rows, values) in ROWS {
        let numbers = format!(
            "WITH RECURSIVE numbers(n) AS (VALUES(1) UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})"
        );
        // Text does not fail to be written.
        let _ = writeln!(script, "INSERT INTO {table} {numbers} SELECT {values} FROM numbers;");
    }
    Connection::open(path)?.execute_batch(&format!("BEGIN; {script} COMMIT;"))
}

const TABLES: &str = "
CREATE TABLE Artist(ArtistId INTEGER NOT NULL PRIMARY KEY, Name NVARCHAR(120));
CREATE TABLE Album(AlbumId INTEGER NOT NULL PRIMARY KEY, Title NVARCHAR(160) NOT NULL,
    ArtistId INTEGER NOT NULL REFERENCES Artist(ArtistId));
CREATE TABLE Genre(GenreId INTEGER NOT NULL PRIMARY KEY, Name NVARCHAR(120));
CREATE TABLE MediaType(MediaTypeId INTEGER NOT NULL PRIMARY KEY, Name NVARCHAR(120));
CREATE TABLE Track(TrackId INTEGER NOT NULL PRIMARY KEY, Name NVARCHAR(200) NOT NULL, AlbumId INTEGER REFERENCES Album(AlbumId),
    MediaTypeId INTEGER NOT NULL REFERENCES MediaType(MediaTypeId), GenreId INTEGER REFERENCES Genre(GenreId),
    Composer NVARCHAR(220), Milliseconds INTEGER NOT NULL, Bytes INTEGER, UnitPrice NUMERIC(10,2) NOT NULL);
CREATE TABLE Playlist(PlaylistId INTEGER NOT NULL PRIMARY KEY, Name NVARCHAR(120));
CREATE TABLE PlaylistTrack(PlaylistId INTEGER NOT NULL REFERENCES Playlist(PlaylistId),
    TrackId INTEGER NOT NULL REFERENCES Track(TrackId), PRIMARY KEY(PlaylistId, TrackId));
CREATE TABLE Employee(EmployeeId INTEGER NOT NULL PRIMARY KEY, LastName NVARCHAR(20) NOT NULL, FirstName NVARCHAR(20) NOT NULL,
    Title NVARCHAR(30), ReportsTo INTEGER REFERENCES Employee(EmployeeId), BirthDate DATETIME, HireDate DATETIME, Email NVARCHAR(60));
CREATE TABLE Customer(CustomerId INTEGER NOT NULL PRIMARY KEY, FirstName NVARCHAR(40) NOT NULL, LastName NVARCHAR(20) NOT NULL,
    Company NVARCHAR(80), Phone NVARCHAR(24), Email NVARCHAR(60) NOT NULL, SupportRepId INTEGER REFERENCES Employee(EmployeeId));
CREATE TABLE Invoice(InvoiceId INTEGER NOT NULL PRIMARY KEY, CustomerId INTEGER NOT NULL REFERENCES Customer(CustomerId),
    InvoiceDate DATETIME NOT NULL, BillingCity NVARCHAR(40), Total NUMERIC(10,2) NOT NULL);
CREATE TABLE InvoiceLine(InvoiceLineId INTEGER NOT NULL PRIMARY KEY, InvoiceId INTEGER NOT NULL REFERENCES Invoice(InvoiceId),
    TrackId INTEGER NOT NULL REFERENCES Track(TrackId), UnitPrice NUMERIC(10,2) NOT NULL, Quantity INTEGER NOT NULL);
CREATE INDEX AlbumArtist ON Album(ArtistId);
CREATE INDEX TrackAlbum ON Track(AlbumId);
CREATE INDEX PlaylistTrackTrack ON PlaylistTrack(TrackId);
CREATE INDEX InvoiceLineInvoice ON InvoiceLine(InvoiceId);
";

/// Table, how many rows, and the values of the row of number `n`.
const ROWS: [(&str, u32, &str); 11] = [
    ("Artist", 275, "n, 'Artist ' || n"),
    ("Album", 347, "n, 'Album ' || n, 1 + n % 275"),
    ("Genre", 25, "n, 'Genre ' || n"),
    ("MediaType", 5, "n, 'Type ' || n"),
    (
        "Track",
        3503,
        "n, 'Track ' || n, 1 + n % 347, 1 + n % 5, 1 + n % 25, iif(n % 3, 'Composer ' || n, NULL), 200000 + n, 1000 * n, \
         iif(n % 9, 0.99, 2)",
    ),
    ("Playlist", 18, "n, 'List ' || n"),
    ("PlaylistTrack", 8715, "1 + n % 18, 1 + n * 5 % 3503"),
    (
        "Employee",
        8,
        "n, 'Last ' || n, 'First ' || n, 'Clerk', nullif(n / 3, 0), '1970-02-0' || n || ' 00:00:00', '2002-08-14 00:00:00', \
         n || '@example.org'",
    ),
    (
        "Customer",
        59,
        "n, 'First ' || n, 'Last ' || n, NULL, '+1 555 ' || n, n || '@example.com', 1 + n % 8",
    ),
    ("Invoice", 412, "n, 1 + n % 59, '2009-01-0' || (1 + n % 9) || ' 00:00:00', 'City', n / 100.0"),
    ("InvoiceLine", 2240, "n, 1 + n % 412, 1 + n % 3503, 0.99, 1"),
];
