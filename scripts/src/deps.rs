//! What the tests need of others: installed once, from the package registries, into a cache directory.
//!
//! Each piece has a stamp beside it, a copy of the files it was made from; another stamp means: make it anew.

use crate::process;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const INSTALL: Duration = Duration::from_secs(900);

/// Programs of Debian packages, and the line that installs each.
const TOOLS: [(&str, &str); 8] = [
    ("java", "apt-get install -y openjdk-17-jdk-headless"),
    ("javac", "apt-get install -y openjdk-17-jdk-headless"),
    ("mvn", "apt-get install -y maven"),
    ("kcat", "apt-get install -y kcat"),
    ("python3", "apt-get install -y python3 python3-venv"),
    ("go", "apt-get install -y golang-go   (1.21 or newer; Debian 12: from bookworm-backports, or https://go.dev/dl)"),
    ("node", "apt-get install -y nodejs"),
    ("npm", "apt-get install -y npm"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("scripts/ has a parent").to_owned()
}

/// `${XDG_CACHE_HOME:-~/.cache}/ringmill`
pub(crate) fn cache() -> PathBuf {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    base.unwrap_or_else(home).join("ringmill")
}

/// Names every missing tool at once, each with the line that installs it.
pub(crate) fn require(programs: &[&str]) -> Result<(), String> {
    let missing: Vec<String> = programs
        .iter()
        .filter(|program| !process::on_path(program))
        .map(|program| {
            let line = TOOLS.iter().find(|(name, _)| name == program).map_or("", |(_, line)| line);
            format!("{program} is missing: {line}")
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

/// The folder of Apache Kafka's jars.
pub(crate) fn kafka_libs() -> Result<PathBuf, String> {
    require(&["java", "mvn"])?;
    jars("kafka", "pom.xml")
}

fn jars(name: &str, pom: &str) -> Result<PathBuf, String> {
    let pom = root().join("scripts/interop/kafka").join(pom);
    made(name, &[&pom], |dir| {
        let mut mvn = Command::new("mvn");
        mvn.args(["-q", "-B", "-Dstyle.color=never", "-f"]).arg(&pom);
        mvn.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
        mvn.arg(format!("-DoutputDirectory={}", dir.display())).current_dir(dir);
        mvn
    })
}

/// The folder of the compiled Java driver and group member.
pub(crate) fn java_classes(libs: &Path) -> Result<PathBuf, String> {
    compiled("java", libs, &["Driver.java", "Member.java"])
}

/// The folder of what receives clients' metrics in Apache Kafka: it counts them, as ringmill does.
pub(crate) fn telemetry_receiver(libs: &Path) -> Result<PathBuf, String> {
    compiled("java-telemetry", libs, &["CountingReceiver.java"])
}

/// The jars of the 3.x Java client, and the folder of the group member compiled against them.
pub(crate) fn old_java_client() -> Result<(PathBuf, PathBuf), String> {
    let libs = jars("kafka-3", "pom-3.xml")?;
    let classes = compiled("java-3", &libs, &["Member.java"])?;
    Ok((libs, classes))
}

fn compiled(name: &str, libs: &Path, sources: &[&str]) -> Result<PathBuf, String> {
    require(&["javac"])?;
    let mut sources: Vec<PathBuf> =
        sources.iter().map(|source| root().join("scripts/interop/java").join(source)).collect();
    sources.push(libs.join("stamp"));
    made(name, &sources.iter().collect::<Vec<_>>(), |dir| {
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-d"]).arg(dir).arg("-cp").arg(libs.join("*"));
        javac.args(&sources[..sources.len() - 1]);
        javac
    })
}

/// A Python interpreter that has confluent-kafka, kafka-python and aiokafka.
pub(crate) fn python() -> Result<PathBuf, String> {
    require(&["python3"])?;
    let requirements = root().join("scripts/interop/python/requirements.txt");
    let dir = made("python", &[&requirements], |dir| {
        let script =
            "python3 -m venv --clear \"$0\" && \"$0\"/bin/pip install -q --disable-pip-version-check -r \"$1\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(dir).arg(&requirements);
        sh
    })?;
    Ok(dir.join("bin/python"))
}

/// The franz-go client, built; beside it the sarama client, and `kgo.test`, the tests of franz-go itself.
pub(crate) fn franz() -> Result<PathBuf, String> {
    require(&["go"])?;
    let source = root().join("scripts/interop/go");
    let names = ["main.go", "member.go", "lines/lines.go", "sarama/main.go", "go.mod", "go.sum"];
    let files = names.map(|name| source.join(name));
    let dir = made("go", &files.iter().collect::<Vec<_>>(), |dir| {
        let script = "go build -buildvcs=false -o \"$0\" ./... \
            && go test -c -o \"$0\"/kgo.test github.com/twmb/franz-go/pkg/kgo";
        let mut sh = Command::new("sh");
        sh.args(["-c", script]).arg(dir).current_dir(&source);
        sh
    })?;
    Ok(dir.join("franz"))
}

/// The folder that Node finds kafkajs in.
pub(crate) fn node_modules() -> Result<PathBuf, String> {
    require(&["node", "npm"])?;
    let source = root().join("scripts/interop/node");
    let files = ["package.json", "package-lock.json"].map(|name| source.join(name));
    let dir = made("node", &files.iter().collect::<Vec<_>>(), |dir| {
        let script = "cp \"$1\" \"$2\" . && npm ci --silent --no-audit --no-fund --ignore-scripts";
        let mut sh = Command::new("sh");
        sh.args(["-c", script, "npm"]).args(&files).current_dir(dir);
        sh
    })?;
    Ok(dir.join("node_modules"))
}

/// Installs all of it.
pub(crate) fn everything() -> Result<(), String> {
    require(&TOOLS.map(|(program, _)| program))?;
    let libs = kafka_libs()?;
    java_classes(&libs)?;
    old_java_client()?;
    python()?;
    node_modules()?;
    franz().map(drop)
}

/// Gives the cached directory `name`; when it was made from other files than `sources`, it is emptied and made first.
fn made(name: &str, sources: &[&PathBuf], make: impl FnOnce(&Path) -> Command) -> Result<PathBuf, String> {
    let dir = cache().join(name);
    let mut stamp = Vec::new();
    for source in sources {
        stamp.extend(std::fs::read(source).map_err(|e| format!("read {}: {e}", source.display()))?);
    }
    let stamped = dir.join("stamp");
    if std::fs::read(&stamped).is_ok_and(|found| found == stamp) {
        return Ok(dir);
    }
    println!("      installing {name} into {}", dir.display());
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).map_err(|e| format!("create {}: {e}", dir.display()))?;
    process::output(&mut make(&dir), b"", INSTALL)?;
    std::fs::write(&stamped, stamp).map_err(|e| format!("write {}: {e}", stamped.display()))?;
    Ok(dir)
}
