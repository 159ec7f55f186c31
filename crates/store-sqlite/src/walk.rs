//! A walk through the write-ahead log before SQLite opens it, after a kill or a power cut.
//!
//! SQLite reads the log up to the first frame whose checksum does not hold, and says nothing: that is how it finds the end of what a power cut left.
//! A flipped bit looks the same, and then all that was written behind it is gone, although it was acknowledged. The two can be told apart:
//!
//! - Each frame has the salts of its log. Frames behind the end with other salts are what is left of an earlier log.
//! - Each commit waits for the disk before the next transaction writes. If SQLite stops reading before a commit, and another frame follows that
//!   commit, the part in between was on the disk and is damaged. Otherwise it may be the last transaction, cut off before anybody was told of it.
//!
//! The checksum also tells that one bit was flipped, and nearly always which one: that bit is turned back, and nothing is lost. For the upper bits of a
//! word, several bits fit the checksum. If the older version of the page differs in exactly one of them, it is that one. Otherwise the page is taken
//! with its one wrong bit, and the sums of the frames behind it are computed again: a page's contents have checks of their own. Any other damage is
//! logged as a loss, and a copy of the log is kept.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use toktra_siem_core::time::Timestamp;

/// Bytes of the log's header, and of a frame's.
const HEADER: usize = 32;
const FRAME: usize = 24;
/// The first bytes of a log; the last bit says whether its checksums are of big-endian words.
const MAGIC: u32 = 0x377f_0682;
/// The only version of the format.
const FORMAT: u32 = 3_007_000;

/// Two sums, as SQLite has them.
type Sums = (u32, u32);

/// What is the same for all frames.
#[derive(Clone, Copy)]
struct Log {
    salts: [u8; 8],
    /// Words are summed as big-endian ones.
    big: bool,
    /// More pages than there can be.
    pages: u64,
}

/// Looks through the log of the database at `path`, mends what can be mended, and says what it found; the frames that SQLite will not read although
/// they were acknowledged.
pub(super) fn walk(path: &Path, now: Timestamp) -> io::Result<u64> {
    let log = log_of(path);
    let file = match File::open(&log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened?,
    };
    let mut found = Walk::default();
    found.file(&file, File::open(path).ok().as_ref())?;
    if found.changes.is_empty() && found.lost == 0 {
        return Ok(0);
    }
    let kept = log.with_file_name(format!(
        "{}.damaged-{}",
        log.file_name().unwrap_or_default().to_string_lossy(),
        now.to_string().replace(':', "")
    ));
    found.mend(&log, &kept)?;
    if found.mended > 0 {
        tracing::error!(
            frames = found.mended,
            "bits of the write-ahead log were flipped: they were turned back, and nothing is lost; check the disk"
        );
    }
    if found.likely > 0 {
        tracing::error!(
            pages = found.likely,
            "which bit of these pages it was could only be told by how they were before: run `toktra-siem repair` when the server can be stopped"
        );
    }
    if found.doubtful > 0 {
        tracing::error!(
            pages = found.doubtful,
            "one bit of each of these pages in the write-ahead log was flipped, and which one cannot be told: all that was acknowledged is there, and \
             what the bit hits is found when it is read; check the disk, and run `toktra-siem repair` when the server can be stopped"
        );
    }
    if found.lost > 0 {
        tracing::error!(
            frames = found.lost,
            kept = %kept.display(),
            "the write-ahead log is damaged: what was written behind the damage is lost, events that were acknowledged among it. Have the producers send \
             again what they sent before the last end of this service; check the disk"
        );
    }
    Ok(found.lost)
}

fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

#[derive(Default)]
struct Walk {
    /// Bytes as they must be, by their place.
    changes: Vec<(u64, Vec<u8>)>,
    mended: u64,
    likely: u64,
    doubtful: u64,
    lost: u64,
    /// From here on SQLite does not read.
    end: u64,
}

impl Walk {
    /// Mends the log, and keeps a copy of it as it was. If the process is killed meanwhile, the next start finds the old log, the mended one, or one in
    /// which some bits are still to be turned back.
    fn mend(&self, log: &Path, kept: &Path) -> io::Result<()> {
        if self.doubtful > 0 {
            // The sums of many frames change, and half of them would be damage.
            let new = log.with_extension("mending");
            fs::copy(log, &new)?;
            self.write(&OpenOptions::new().write(true).open(&new)?)?;
            // A file system without links has a copy.
            fs::hard_link(log, kept).or_else(|_| fs::copy(log, kept).map(drop))?;
            fs::rename(&new, log)?;
            return sync_directory(log);
        }
        if let Err(error) =
            fs::copy(log, kept).and_then(|_| File::open(kept)?.sync_all()).and_then(|()| sync_directory(log))
        {
            tracing::error!(%error, "the damaged write-ahead log could not be kept as it was");
            if self.lost > 0 {
                // All that is left of what is behind the damage.
                return Err(error);
            }
        }
        self.write(&OpenOptions::new().write(true).open(log)?)
    }

    fn write(&self, file: &File) -> io::Result<()> {
        for (at, bytes) in &self.changes {
            file.write_all_at(bytes, *at)?;
        }
        if self.lost > 0 {
            // Otherwise each start after a kill would find it again.
            file.set_len(self.end)?;
        }
        file.sync_all()
    }

    fn file(&mut self, mut file: &File, database: Option<&File>) -> io::Result<()> {
        let mut header = [0; HEADER];
        if read(&mut file, &mut header)? < HEADER {
            return Ok(());
        }
        let begun = self.header(file, &mut header);
        let (mut big, mut size) = (word(&header, 0) & 1 == 1, word(&header, 8) as usize);
        if !begun {
            // The database says how large a page is, and this program's logs sum words as the machine has them.
            let mut said = [0; 2];
            if database.is_some_and(|database| database.read_exact_at(&mut said, 16).is_ok()) {
                size = match u16::from_be_bytes(said) {
                    1 => 65_536,
                    size => usize::from(size),
                };
            }
            big = cfg!(target_endian = "big");
        }
        if !(512..=65_536).contains(&size) || !size.is_power_of_two() {
            return Ok(());
        }
        let mut salts: [u8; 8] = std::array::from_fn(|at| header[16 + at]);
        if !begun {
            // The header lies in one sector, which is written whole or not: it is damaged, and the frames say which log it is.
            let Some(found) = salts_of(file, size) else { return Ok(()) };
            salts = found;
        }
        // Each page is in the database, or in the log.
        let length = database.and_then(|database| database.metadata().ok()).map_or(0, |database| database.len());
        let pages = length / size as u64 + file.metadata()?.len() / (FRAME + size) as u64 + 1;
        let log = Log { salts, big, pages };
        let mut sums = (word(&header, 24), word(&header, 28));
        let mut frame = vec![0; FRAME + size];
        // The sums that are made anew, once a page was taken as it is.
        let mut anew = None;
        let (mut at, mut whole) = (HEADER as u64, begun);
        // Where the newest frame of each page lies.
        let mut newest: HashMap<u32, u64> = HashMap::new();
        while whole && read(&mut file, &mut frame)? == frame.len() {
            let follows = |sums| follows(file, at + (FRAME + size) as u64, size, sums, log);
            let older = |page: u32| {
                let mut older = vec![0; size];
                let in_log = newest.get(&page).map(|at| (file, at + FRAME as u64));
                let in_database = || Some((database?, u64::from(page.checked_sub(1)?) * size as u64));
                let (file, at) = in_log.or_else(in_database)?;
                file.read_exact_at(&mut older, at).is_ok().then_some(older)
            };
            let found = holds(&mut frame, sums, log, follows, older);
            let is_likely = matches!(found, Frame::Likely(..));
            match found {
                Frame::Whole(next) => sums = next,
                Frame::Turned(next, byte) | Frame::Likely(next, byte) => {
                    self.likely += u64::from(is_likely);
                    self.changes.push((at + byte as u64, vec![frame[byte]]));
                    self.mended += 1;
                    sums = next;
                }
                Frame::Doubtful(next) => {
                    anew = anew.or(Some(sums));
                    self.mended += 1;
                    self.doubtful += 1;
                    sums = next;
                }
                Frame::Other => whole = false,
            }
            if let Some(sums) = anew.filter(|_| whole) {
                let sums = add(add(sums, &frame[..8], big), &frame[FRAME..], big);
                self.changes.push((at + 16, [sums.0.to_be_bytes(), sums.1.to_be_bytes()].concat()));
                anew = Some(sums);
            }
            newest.insert(word(&frame, 0), at);
            at += if whole { frame.len() as u64 } else { 0 };
        }
        if whole {
            return Ok(());
        }
        self.behind(file, log, at, &mut frame)
    }

    /// Looks at the frames from `at` on, which SQLite does not read.
    fn behind(&mut self, file: &File, log: Log, mut at: u64, frame: &mut [u8]) -> io::Result<()> {
        let (first, mut behind) = (at, 0);
        let (mut last, mut committed, mut sure) = (None, false, false);
        let mut head = [0; FRAME];
        while file.read_exact_at(&mut head, at).is_ok() {
            let own = head[8..16] == log.salts;
            if own && let Some(sums) = last {
                // Frames of a transaction that was taken back may lie there too, and go on from something else.
                file.read_exact_at(frame, at)?;
                sure |= matches!(
                    holds(frame, sums, log, |_| true, |_| None),
                    Frame::Whole(_) | Frame::Turned(..) | Frame::Likely(..) | Frame::Doubtful(_)
                );
            }
            last = (own && word(&head, 4) != 0 && !sure).then(|| (word(&head, 16), word(&head, 20)));
            committed |= last.is_some();
            behind += u64::from(own || at == first);
            at += frame.len() as u64;
        }
        if sure {
            (self.lost, self.end) = (behind, first);
        } else if committed {
            tracing::warn!(
                frames = behind,
                "the last transaction of the write-ahead log is not whole, as after a power cut: whoever sent it was told nothing, unless the disk is damaged"
            );
        }
        Ok(())
    }

    /// Whether the log's header is whole, or was but for one bit, which is turned back.
    fn header(&mut self, file: &File, header: &mut [u8; HEADER]) -> bool {
        let is_whole = |header: &[u8; HEADER]| {
            let magic = word(header, 0);
            let sums = (word(header, 24), word(header, 28));
            magic & !1 == MAGIC && word(header, 4) == FORMAT && add((0, 0), &header[..24], magic & 1 == 1) == sums
        };
        if is_whole(header) {
            return true;
        }
        let mut possible = Vec::new();
        for bit in 0..HEADER * 8 {
            let mut turned = *header;
            turned[bit / 8] ^= 1 << (bit % 8);
            if is_whole(&turned) {
                possible.push((bit / 8, turned));
            }
        }
        // A bit of the last salt and one of the second sum look the same. The first frame tells.
        let size = word(header, 8) as usize;
        let fits = |(_, header): &&(usize, [u8; HEADER])| {
            let salts = std::array::from_fn(|at| header[16 + at]);
            let log = Log { salts, big: word(header, 0) & 1 == 1, pages: 0 };
            follows(file, HEADER as u64, size, (word(header, 24), word(header, 28)), log)
        };
        let Some((byte, turned)) = possible.iter().find(fits).or(possible.first()) else { return false };
        self.changes.push((*byte as u64, vec![turned[*byte]]));
        self.mended += 1;
        *header = *turned;
        true
    }
}

/// The salts of the first two frames in a row that have the same ones, other than zero.
fn salts_of(file: &File, size: usize) -> Option<[u8; 8]> {
    let (mut at, mut head, mut before) = (HEADER as u64, [0; FRAME], [0; 8]);
    while file.read_exact_at(&mut head, at).is_ok() {
        let salts = std::array::from_fn(|byte| head[8 + byte]);
        if salts == before && salts != [0; 8] {
            return Some(salts);
        }
        (before, at) = (salts, at + (FRAME + size) as u64);
    }
    None
}

/// Whether a whole frame with these salts, whose sums go on from these, lies at this place.
fn follows(file: &File, at: u64, size: usize, sums: Sums, log: Log) -> bool {
    let mut frame = vec![0; FRAME + size.min(65_536)];
    file.read_exact_at(&mut frame, at).is_ok()
        && matches!(holds(&mut frame, sums, log, |_| true, |_| None), Frame::Whole(_))
}

/// What a frame is.
enum Frame {
    Whole(Sums),
    /// But for one bit, which is turned back in this byte.
    Turned(Sums, usize),
    /// But for one bit of its page, of which several look the same: in this byte the page is not as it was before, and that is turned back.
    Likely(Sums, usize),
    /// But for one bit of its page, and several look the same.
    Doubtful(Sums),
    /// Of another log, or not whole.
    Other,
}

/// What the frame is, which follows one with the sums `before`. `follows` says whether the next one goes on from some sums, and `older` how a page was
/// before.
fn holds(
    frame: &mut [u8],
    before: Sums,
    log: Log,
    follows: impl Fn(Sums) -> bool,
    older: impl Fn(u32) -> Option<Vec<u8>>,
) -> Frame {
    let Log { salts, big, pages: most } = log;
    let sums = add(add(before, &frame[..8], big), &frame[FRAME..], big);
    let said = (word(frame, 16), word(frame, 20));
    let foreign: u32 = frame[8..16].iter().zip(salts).map(|(a, b)| (a ^ b).count_ones()).sum();
    if word(frame, 0) != 0 && foreign == 0 && sums == said {
        return Frame::Whole(sums);
    }
    if foreign == 1 && sums == said {
        let at = 8 + frame[8..16].iter().zip(salts).position(|(a, b)| *a != b).unwrap_or(0);
        frame[at] = salts[at - 8];
        return Frame::Turned(sums, at);
    }
    if foreign > 0 {
        return Frame::Other;
    }
    let off = [(16, sums.0 ^ said.0), (20, sums.1 ^ said.1)];
    if let [(at, bits)] = off.iter().filter(|(_, bits)| *bits != 0).collect::<Vec<_>>()[..]
        && bits.is_power_of_two()
        // A bit of a page may have changed one sum alone, too. The next frame tells; without one, the sum it is.
        && (follows(sums) || !follows(said))
    {
        let byte = at + 3 - bits.trailing_zeros() as usize / 8;
        frame[byte] ^= 1 << (bits.trailing_zeros() % 8);
        return Frame::Turned(sums, byte);
    }
    let possible = flipped(frame, (said.0.wrapping_sub(sums.0), said.1.wrapping_sub(sums.1)), big);
    // The numbers of a page and of all pages are small: an upper bit of them is one that was flipped.
    let (heads, pages): (Vec<_>, Vec<_>) = possible.into_iter().partition(|(byte, _)| *byte < 8);
    match (heads.as_slice(), pages.as_slice()) {
        ([one], []) | ([], [one]) => turn(frame, *one, said),
        ([], []) => Frame::Other,
        (heads, pages) => match (heads.iter().find(|(byte, bit)| frame[*byte] >> bit & 1 == 1), pages) {
            (Some(one), _) if u64::from(word(frame, one.0 / 4 * 4)) > most => turn(frame, *one, said),
            (_, [one]) => turn(frame, *one, said),
            (_, several @ [_, _, ..]) => by_how_it_was(frame, heads, several, said, older),
            (_, []) => Frame::Other,
        },
    }
}

/// Which of several bits was flipped, by how the page was before: one of the page's number, if the frame is much more like another page; else the
/// one in which it is not as it was.
fn by_how_it_was(
    frame: &mut [u8],
    heads: &[(usize, u8)],
    several: &[(usize, u8)],
    said: Sums,
    older: impl Fn(u32) -> Option<Vec<u8>>,
) -> Frame {
    let number = word(frame, 0);
    let before = older(number).unwrap_or_default();
    let unlike = |older: &[u8]| older.iter().zip(&frame[FRAME..]).filter(|(a, b)| a != b).count();
    let is_other = |(byte, bit): &&(usize, u8)| {
        *byte < 4
            && older(number ^ 1 << ((3 - byte) * 8 + usize::from(*bit)))
                .is_some_and(|other| unlike(&other) * 2 < unlike(&before))
    };
    let differs =
        |(byte, bit): &&(usize, u8)| before.get(byte - FRAME).is_some_and(|was| (was ^ frame[*byte]) >> bit & 1 == 1);
    let other: Vec<_> = heads.iter().filter(is_other).copied().collect();
    let changed: Vec<_> = several.iter().filter(differs).copied().collect();
    match (other.as_slice(), changed.as_slice()) {
        ([(byte, bit)], _) | ([], [(byte, bit)]) => {
            frame[*byte] ^= 1 << bit;
            Frame::Likely(said, *byte)
        }
        _ => Frame::Doubtful(said),
    }
}

fn turn(frame: &mut [u8], (byte, bit): (usize, u8), sums: Sums) -> Frame {
    frame[byte] ^= 1 << bit;
    Frame::Turned(sums, byte)
}

/// The bits whose flipping may have made the sums differ by `off`, by the bytes that they are in. A word counts for the sums as often as the steps
/// behind it say, whatever the other words are.
fn flipped(frame: &[u8], off: Sums, big: bool) -> Vec<(usize, u8)> {
    let places = (0..8).chain(FRAME..frame.len()).step_by(4).collect::<Vec<_>>();
    let step = |(a, b): Sums| (a.wrapping_add(b), a.wrapping_add(b.wrapping_mul(2)));
    let (mut first, mut second, mut found) = ((1, 1), (0, 1), Vec::new());
    for pair in places.chunks(2).rev() {
        for (place, counts) in pair.iter().zip([first, second]) {
            let value = of_word(frame, *place, big);
            for bit in 0..32u8 {
                let by = if value >> bit & 1 == 0 { 1u32 << bit } else { (1u32 << bit).wrapping_neg() };
                if (by.wrapping_mul(counts.0), by.wrapping_mul(counts.1)) == off {
                    found.push((place + usize::from(if big { 3 - bit / 8 } else { bit / 8 }), bit % 8));
                }
            }
        }
        (first, second) = (step(first), step(second));
    }
    found
}

/// The sums after these bytes.
fn add(before: Sums, bytes: &[u8], big: bool) -> Sums {
    bytes.chunks_exact(8).fold(before, |(a, b), pair| {
        let a = a.wrapping_add(of_word(pair, 0, big)).wrapping_add(b);
        (a, b.wrapping_add(of_word(pair, 4, big)).wrapping_add(a))
    })
}

/// A word that is summed.
fn of_word(bytes: &[u8], at: usize, big: bool) -> u32 {
    let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
}

/// A number of a header.
fn word(bytes: &[u8], at: usize) -> u32 {
    of_word(bytes, at, true)
}

/// Syncs the directory of this file.
fn sync_directory(file: &Path) -> io::Result<()> {
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Reads until there is no more; how much there was.
fn read(file: &mut &File, to: &mut [u8]) -> io::Result<usize> {
    let mut there = 0;
    while there < to.len() {
        match file.read(&mut to[there..]) {
            Ok(0) => break,
            Ok(more) => there += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(there)
}
