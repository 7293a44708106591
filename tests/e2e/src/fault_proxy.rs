//! [`FaultProxy`]: stands between devices and a server, and is as bad a network as it is told to be.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use storex_core::{Runtime as _, TokioRuntime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes TCP connections on to a server, as long as it is not told otherwise. It runs beside whoever has made it.
#[derive(Debug)]
pub struct FaultProxy {
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
    network: Arc<Network>,
}

/// How a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Both ends are told at once, by a reset.
    Reset,
    /// The device is told; to the server it looks as if the device said nothing any more.
    SeenByDevice,
    /// The server is told; the device waits for it in vain.
    SeenByServer,
}

/// Where bytes are on their way to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// A request, or a part of one.
    Server,
    /// An answer, or a part of one.
    Device,
}

/// What has come and gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Connections that were made.
    pub connections: u64,
    /// Connections that were refused.
    pub refused: u64,
    /// Connections that were cut, by whatever way.
    pub cut: u64,
    /// Of those, the ones that were cut in the middle of what was passed on.
    pub cut_within: u64,
    /// Bytes in both directions.
    pub bytes: u64,
}

/// What holds for all connections.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    refuses: bool,
    stalls: bool,
    delay: Duration,
}

#[derive(Debug)]
struct Network {
    server: Mutex<SocketAddr>,
    weather: watch::Sender<Weather>,
    lines: Mutex<Vec<Arc<Line>>>,
    passed: Mutex<Passed>,
}

/// A connection.
#[derive(Debug)]
struct Line {
    cut: watch::Sender<Option<Cut>>,
    /// How many bytes it passes on to the server and to the device until it is cut.
    left: [AtomicU64; 2],
}

/// Why passing on has ended.
enum End {
    /// All was said.
    Said,
    /// It was cut within what was said.
    Within,
    /// It was cut.
    Cut(Cut),
}

impl FaultProxy {
    /// Begins, on a free port of this machine, with a network that is well.
    ///
    /// # Panics
    /// When the system gives no port, or no thread.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().expect("a runtime");
        // Whoever calls this may be in a runtime, and must not wait for another one.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that waits for nobody");
        let address = listener.local_addr().expect("an address");
        let listener = {
            let _within = runtime.enter();
            TcpListener::from_std(listener).expect("a listener")
        };
        let network = Arc::new(Network {
            server: Mutex::new(server),
            weather: watch::Sender::default(),
            lines: Mutex::default(),
            passed: Mutex::default(),
        });
        runtime.spawn(accept(listener, Arc::clone(&network)));
        Self { runtime: Some(runtime), address, network }
    }

    /// Where devices reach it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is the server.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn serve(&self, server: SocketAddr) {
        *self.network.server.lock().expect("no panic") = server;
    }

    /// Cuts the `nth` connection (modulo how many there are), if there is one.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn cut_one(&self, nth: u64, cut: Cut) {
        if let Some(line) = self.network.line(nth) {
            line.cut.send_replace(Some(cut));
        }
    }

    /// Cuts all of them.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn cut_all(&self, cut: Cut) {
        for line in self.network.lines.lock().expect("no panic").iter() {
            line.cut.send_replace(Some(cut));
        }
    }

    /// Cuts each connection when it has passed on so many more bytes.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn cut_within(&self, towards: Towards, bytes: u64) {
        for line in self.network.lines.lock().expect("no panic").iter() {
            line.left[towards as usize].store(bytes, Ordering::SeqCst);
        }
    }

    /// Refuses new connections, or does not any more.
    pub fn refuse(&self, refuses: bool) {
        self.network.weather.send_modify(|weather| weather.refuses = refuses);
    }

    /// Passes nothing on and tells nobody, or goes on with what has piled up.
    pub fn stall(&self, stalls: bool) {
        self.network.weather.send_modify(|weather| weather.stalls = stalls);
    }

    /// Keeps everything back for so long.
    pub fn delay(&self, delay: Duration) {
        self.network.weather.send_modify(|weather| weather.delay = delay);
    }

    /// All is well from now on. What was cut stays cut.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    pub fn heal(&self) {
        for line in self.network.lines.lock().expect("no panic").iter() {
            line.left.iter().for_each(|left| left.store(u64::MAX, Ordering::SeqCst));
        }
        self.network.weather.send_replace(Weather::default());
    }

    /// What has come and gone so far.
    ///
    /// # Panics
    /// When a thread of it has panicked.
    #[must_use]
    pub fn passed(&self) -> Passed {
        *self.network.passed.lock().expect("no panic")
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // Also where another runtime runs, in which nobody may wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Network {
    fn line(&self, nth: u64) -> Option<Arc<Line>> {
        let lines = self.lines.lock().expect("no panic");
        let nth = nth.checked_rem(lines.len() as u64)?;
        usize::try_from(nth).ok().and_then(|nth| lines.get(nth).cloned())
    }

    fn count(&self, change: impl FnOnce(&mut Passed)) {
        change(&mut self.passed.lock().expect("no panic"));
    }

    fn add(&self) -> Arc<Line> {
        let left = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        let line = Arc::new(Line { cut: watch::Sender::default(), left });
        self.lines.lock().expect("no panic").push(Arc::clone(&line));
        self.count(|passed| passed.connections += 1);
        line
    }

    fn remove(&self, line: &Arc<Line>) {
        self.lines.lock().expect("no panic").retain(|it| !Arc::ptr_eq(it, line));
    }

    /// Passes on in one direction.
    async fn pass(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        line: &Line,
        towards: Towards,
    ) -> std::io::Result<End> {
        let left = &line.left[towards as usize];
        let mut weather = self.weather.subscribe();
        let mut buffer = [0; 8192];
        loop {
            let read = from.read(&mut buffer).await?;
            if weather.wait_for(|weather| !weather.stalls).await.is_err() {
                return Ok(End::Said);
            }
            let delay = weather.borrow().delay;
            if !delay.is_zero() {
                TokioRuntime.sleep(delay).await;
            }
            // What was kept back when the connection was cut is lost, though the network is well again by now.
            if let Some(cut) = *line.cut.borrow() {
                return Ok(End::Cut(cut));
            }
            if read == 0 {
                to.shutdown().await?;
                return Ok(End::Said);
            }
            let allowed = left.load(Ordering::SeqCst);
            let part = usize::try_from(allowed).map_or(read, |allowed| read.min(allowed));
            if allowed < u64::MAX {
                left.store(allowed - part as u64, Ordering::SeqCst);
            }
            // Before it is passed on: whoever gets it finds it counted.
            self.count(|passed| passed.bytes += part as u64);
            to.write_all(&buffer[..part]).await?;
            if part < read {
                return Ok(End::Within);
            }
        }
    }

    /// Passes on in both directions.
    async fn pass_both(
        &self,
        device: &mut TcpStream,
        server: &mut TcpStream,
        line: &Line,
    ) -> std::io::Result<End> {
        let mut cuts = line.cut.subscribe();
        let (from_device, to_device) = device.split();
        let (from_server, to_server) = server.split();
        let up = self.pass(from_device, to_server, line, Towards::Server);
        let down = self.pass(from_server, to_device, line, Towards::Device);
        tokio::pin!(up, down);
        let both = async {
            let (end, upwards) = tokio::select! {
                end = &mut up => (end?, true),
                end = &mut down => (end?, false),
            };
            match end {
                // Whoever says no more may still be answered.
                End::Said if upwards => down.await,
                End::Said => up.await,
                end => Ok(end),
            }
        };
        tokio::select! {
            end = both => end,
            cut = cuts.wait_for(Option::is_some) => {
                Ok(cut.ok().and_then(|cut| *cut).map_or(End::Said, End::Cut))
            }
        }
    }
}

async fn accept(listener: TcpListener, network: Arc<Network>) {
    while let Ok((device, _)) = listener.accept().await {
        if network.weather.borrow().refuses {
            network.count(|passed| passed.refused += 1);
            continue;
        }
        TokioRuntime.spawn(Box::pin(connect(device, Arc::clone(&network))));
    }
}

async fn connect(device: TcpStream, network: Arc<Network>) {
    let server = *network.server.lock().expect("no panic");
    // While the server is away nobody is there to be connected with.
    let Ok(server) = TcpStream::connect(server).await else { return };
    let line = network.add();
    let _ = carry(device, server, &line, &network).await;
    network.remove(&line);
}

async fn carry(
    mut device: TcpStream,
    mut server: TcpStream,
    line: &Arc<Line>,
    network: &Network,
) -> std::io::Result<()> {
    device.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let end = network.pass_both(&mut device, &mut server, line).await?;
    network.remove(line);
    network.count(|passed| {
        passed.cut += u64::from(!matches!(end, End::Said));
        passed.cut_within += u64::from(matches!(end, End::Within));
    });
    match end {
        // What was passed on before is to arrive.
        End::Said | End::Within => {}
        End::Cut(Cut::Reset) => {
            device.set_zero_linger()?;
            server.set_zero_linger()?;
        }
        End::Cut(Cut::SeenByDevice) => {
            drop(device);
            silent(server).await;
        }
        End::Cut(Cut::SeenByServer) => {
            drop(server);
            silent(device).await;
        }
    }
    Ok(())
}

/// An end that nobody is at any more, and that was not told so: until the proxy ends.
async fn silent(_end: TcpStream) {
    std::future::pending().await
}
