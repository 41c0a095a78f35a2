//! A flame graph from `perf script`: stacks folded into a tree, drawn as one SVG. Width is samples, depth is the call chain.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;

use crate::failure::{Doing, Failure};
use crate::svg::escape;

const WIDTH: f64 = 1400.0;
const ROW: f64 = 17.0;
/// Narrower than this is not drawn.
const LEAST_WIDTH: f64 = 0.4;
const CHARACTER: f64 = 6.6;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long, default_value = "samples")]
    title: String,
    /// Folded lines `a;b;c 12` instead of a picture
    #[arg(long)]
    folded: bool,
}

/// Standard input is what `perf script -F comm,tid,ip,sym` printed.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).doing("read the samples")?;
    let stacks = fold(&text);
    if args.folded {
        stacks.iter().for_each(|(stack, count)| println!("{} {count}", stack.join(";")));
    } else {
        println!("{}", draw(&args.title, &stacks));
    }
    Ok(())
}

/// A sample is a line with the thread's name, a line a frame from the inmost out, and an empty line.
fn fold(text: &str) -> BTreeMap<Vec<String>, u64> {
    let mut stacks = BTreeMap::new();
    for sample in text.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let Some(head) = lines.next() else { continue };
        let mut stack: Vec<String> = lines.map(symbol).collect();
        stack.push(head.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c.is_whitespace()).to_owned());
        stack.reverse();
        *stacks.entry(stack).or_default() += 1;
    }
    stacks
}

/// `ffffffff81 do_syscall_64+0x3a ([kernel])` is `do_syscall_64`; generic arguments and hashes say little.
fn symbol(line: &str) -> String {
    let name = line.trim().split_once(' ').map_or("?", |(_, name)| name.trim());
    let name = name.rsplit_once(" (").map_or(name, |(name, _)| name);
    let name = name.rsplit_once("+0x").map_or(name, |(name, _)| name);
    let mut plain = String::new();
    let mut depth = 0usize;
    for c in name.chars() {
        match c {
            '<' => depth += 1,
            '>' if depth > 0 => depth -= 1,
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let plain = plain.trim_start_matches("::");
    let is_hash =
        |tail: &str| tail.len() == 17 && tail.starts_with('h') && tail[1..].chars().all(|c| c.is_ascii_hexdigit());
    match plain.rsplit_once("::") {
        Some((name, tail)) if is_hash(tail) => name.to_owned(),
        _ if plain.is_empty() => "?".to_owned(),
        _ => plain.to_owned(),
    }
}

#[derive(Default)]
struct Node {
    count: u64,
    children: BTreeMap<String, Node>,
}

fn draw(title: &str, stacks: &BTreeMap<Vec<String>, u64>) -> String {
    let mut root = Node::default();
    for (stack, count) in stacks {
        let mut node = &mut root;
        node.count += count;
        for name in stack {
            node = node.children.entry(name.clone()).or_default();
            node.count += count;
        }
    }
    let depth = stacks.keys().map(Vec::len).max().unwrap_or_default();
    let height = ROW * (depth as f64 + 3.0);
    let mut out = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" font-family="monospace" font-size="11"><rect width="100%" height="100%" fill="#ffffff"/><text x="6" y="15">{} ({} samples)</text>"##,
        escape(title),
        root.count
    );
    let per_sample = WIDTH / root.count.max(1) as f64;
    boxes(&mut out, &root, 0.0, ROW * 2.0, per_sample, root.count);
    out + "</svg>"
}

fn boxes(out: &mut String, node: &Node, left: f64, top: f64, per_sample: f64, all: u64) {
    let mut x = left;
    for (name, child) in &node.children {
        let width = child.count as f64 * per_sample;
        if width >= LEAST_WIDTH {
            let part = 100.0 * child.count as f64 / all.max(1) as f64;
            let shown: String = name.chars().take(((width - 4.0) / CHARACTER).max(0.0) as usize).collect();
            let hue = name.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte))) % 40;
            let _ = write!(
                out,
                r##"<g><title>{} {part:.1} %</title><rect x="{x:.1}" y="{top:.0}" width="{width:.1}" height="{}" fill="hsl({} 85% 68%)" stroke="#fff" stroke-width=".4"/><text x="{:.1}" y="{:.0}">{}</text></g>"##,
                escape(name),
                ROW - 1.0,
                15 + hue,
                x + 2.0,
                top + 12.0,
                escape(&shown)
            );
            boxes(out, child, x, top + ROW, per_sample, all);
        }
        x += width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fold_into_stacks_from_the_outside_in() {
        let text = "shard-0 1234\n\tffff do_syscall_64+0x3a\n\t55aa ringmill::shard::Service<T>::settle::h0123456789abcdef+0x1f\n\n\
                    shard-0 1234\n\tffff do_syscall_64+0x10\n\t55aa ringmill::shard::Service<T>::settle::h0123456789abcdef+0x2f\n\n";
        let stacks = fold(text);
        let stack = ["shard-", "ringmill::shard::Service::settle", "do_syscall_64"].map(str::to_owned).to_vec();
        assert_eq!(stacks.get(&stack), Some(&2), "{stacks:?}");
        let svg = draw("a test", &stacks);
        assert!(svg.contains("do_syscall_64 100.0 %") && svg.ends_with("</svg>"));
        assert!(draw("nothing", &BTreeMap::new()).contains("(0 samples)"));
    }
}
