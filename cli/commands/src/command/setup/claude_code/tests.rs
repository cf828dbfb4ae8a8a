use std::fs;

use super::*;

struct Fixture {
    directory: tempfile::TempDir,
    places: Places,
    kv: Home,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let places = Places::under(&home.join(".claude.json"), &home.join(".claude"));
        let kv = Home::from(|name| (name == "HOME").then(|| home.to_owned())).unwrap();
        Self { directory, places, kv }
    }

    fn apply(&self, changes: Vec<Change>) -> usize {
        let changes: Vec<_> = changes.into_iter().filter(Change::changes_something).collect();
        changes.iter().for_each(|change| change.apply(&self.directory.path().join("backups")).unwrap());
        changes.len()
    }

    fn setup(&self, force: bool) -> Result<Vec<Change>, Problem> {
        self.places.setup(Path::new("/usr/bin/kv"), &self.kv, force)
    }
}

#[test]
fn is_idempotent_and_undone() {
    let fixture = Fixture::new();
    fs::write(
        &fixture.places.servers,
        "{\n  // mine\n  \"theme\": \"dark\",\n  \"mcpServers\": { \"other\": { \"command\": \"x\" } }\n}\n",
    )
    .unwrap();
    fs::create_dir_all(fixture.places.instructions.parent().unwrap()).unwrap();
    fs::write(&fixture.places.instructions, "# Mine\n\nBe brief.\n").unwrap();
    assert_eq!(fixture.apply(fixture.setup(false).unwrap()), 3);
    let servers = fs::read_to_string(&fixture.places.servers).unwrap();
    assert!(
        servers.contains("// mine") && servers.contains("\"other\"") && servers.contains("/usr/bin/kv"),
        "{servers}"
    );
    assert!(fs::read_to_string(&fixture.places.settings).unwrap().contains("/.local/share/kv/**"));
    assert_eq!(fixture.apply(fixture.setup(false).unwrap()), 0);

    fixture.apply(fixture.places.undo(&fixture.kv).unwrap());
    let servers = fs::read_to_string(&fixture.places.servers).unwrap();
    assert!(
        servers.contains("// mine") && servers.contains("\"other\"") && !servers.contains("/usr/bin/kv"),
        "{servers}"
    );
    assert_eq!(fs::read_to_string(&fixture.places.instructions).unwrap(), "# Mine\n\nBe brief.\n");
    assert!(!fs::read_to_string(&fixture.places.settings).unwrap().contains("/kv/**"));
    assert_eq!(fixture.apply(fixture.places.undo(&fixture.kv).unwrap()), 0);
}

/// What the person wrote between setup and undo is theirs, wherever they wrote it.
#[test]
fn what_was_edited_in_between_stays() {
    let fixture = Fixture::new();
    fixture.apply(fixture.setup(false).unwrap());
    let edit = |path: &Path, from: &str, to: &str| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let places = &fixture.places;
    edit(&places.settings, "Read(./.env)\"", "Read(//home/me/projects/kv/**)\", \"Bash(rm:*)\", \"Read(./.env)\"");
    edit(
        &places.servers,
        "\"mcpServers\": {",
        "\"theme\": \"dark\", \"mcpServers\": { \"mine\": { \"command\": \"x\" },",
    );
    edit(&places.instructions, BEGIN, &format!("# Mine\n\nBe brief.\n\n{BEGIN}"));
    edit(&places.instructions, END, &format!("an edited line\n{END}"));
    fs::write(&places.instructions, fs::read_to_string(&places.instructions).unwrap() + "Be kind.\n").unwrap();

    fixture.apply(places.undo(&fixture.kv).unwrap());
    let settings = fs::read_to_string(&places.settings).unwrap();
    assert!(settings.contains("Read(//home/me/projects/kv/**)") && settings.contains("Bash(rm:*)"), "{settings}");
    assert!(!settings.contains(".local/share/kv"), "{settings}");
    let servers = fs::read_to_string(&places.servers).unwrap();
    assert!(servers.contains("\"mine\"") && servers.contains("dark") && !servers.contains("/usr/bin/kv"), "{servers}");
    assert_eq!(fs::read_to_string(&places.instructions).unwrap(), "# Mine\n\nBe brief.\n\nBe kind.\n");
    assert_eq!(fixture.apply(places.undo(&fixture.kv).unwrap()), 0);
    // And it can be set up again, once.
    assert_eq!(fixture.apply(fixture.setup(false).unwrap()), 3);
    assert_eq!(fixture.apply(fixture.setup(false).unwrap()), 0);
}

#[test]
fn keeps_a_server_of_the_same_name() {
    let fixture = Fixture::new();
    let other = "{\"mcpServers\":{\"kv\":{\"command\":\"/opt/redis-kv\",\"args\":[]}}}";
    fs::write(&fixture.places.servers, other).unwrap();
    let problem = fixture.setup(false).err().unwrap();
    assert_eq!(problem.code(), kv_api::Code::Conflict);
    assert_eq!(fs::read_to_string(&fixture.places.servers).unwrap(), other);
    fixture.apply(fixture.places.undo(&fixture.kv).unwrap());
    assert_eq!(fs::read_to_string(&fixture.places.servers).unwrap(), other);
    assert!(fixture.apply(fixture.setup(true).unwrap()) > 0);
}

#[test]
fn what_does_not_parse_is_kept() {
    for text in ["{", "[1]", "{\"mcpServers\": 5}", "nonsense"] {
        let fixture = Fixture::new();
        fs::write(&fixture.places.servers, text).unwrap();
        assert!(fixture.setup(false).is_err(), "{text}");
        assert_eq!(fs::read_to_string(&fixture.places.servers).unwrap(), text);
    }
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.places.instructions.parent().unwrap()).unwrap();
    fs::write(&fixture.places.instructions, format!("{BEGIN}\nhalf")).unwrap();
    assert!(fixture.setup(false).is_err());
}
