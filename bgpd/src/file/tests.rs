use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const FIRST: &str = "routerId: 10.0.0.1\nlocalAs: 65001\n";
const SECOND: &str = "routerId: 10.0.0.2\nlocalAs: 65001\n";

/// What the file says next; fails after some seconds.
async fn next(file: &mut ConfigFile) -> Result<Config, FileError> {
    timeout(Duration::from_secs(10), file.changed()).await.expect("the change must be noticed")
}

fn watched(path: &Path) -> ConfigFile {
    let mut file = ConfigFile::watch(path).unwrap();
    file.read().unwrap();
    file
}

#[tokio::test]
async fn a_file_written_in_place_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bgpd.yaml");
    fs::write(&path, FIRST).unwrap();
    let mut file = watched(&path);
    fs::write(&path, SECOND).unwrap();
    assert_eq!(next(&mut file).await.unwrap().router_id.to_string(), "10.0.0.2");
}

#[tokio::test]
async fn a_file_renamed_over_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bgpd.yaml");
    fs::write(&path, FIRST).unwrap();
    let mut file = watched(&path);
    let other = directory.path().join("bgpd.yaml.tmp");
    fs::write(&other, SECOND).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(next(&mut file).await.unwrap().router_id.to_string(), "10.0.0.2");
}

#[tokio::test]
async fn a_config_map_that_is_swapped_is_noticed_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let publish = |version: &str, text: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("bgpd.yaml"), text).unwrap();
        symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    publish("..1", FIRST);
    symlink("..data/bgpd.yaml", root.join("bgpd.yaml")).unwrap();
    let mut file = watched(&root.join("bgpd.yaml"));
    publish("..2", SECOND);
    assert_eq!(next(&mut file).await.unwrap().router_id.to_string(), "10.0.0.2");
    publish("..3", FIRST);
    assert_eq!(next(&mut file).await.unwrap().router_id.to_string(), "10.0.0.1");
}

#[tokio::test]
async fn an_invalid_text_is_reported_once_and_its_repair_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bgpd.yaml");
    fs::write(&path, FIRST).unwrap();
    let mut file = watched(&path);
    fs::write(&path, "routerId: x\n").unwrap();
    assert!(matches!(next(&mut file).await, Err(FileError::Invalid(_))));
    fs::write(&path, SECOND).unwrap();
    assert!(next(&mut file).await.is_ok());
}

#[tokio::test]
async fn a_file_that_goes_away_is_reported_and_its_return_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bgpd.yaml");
    fs::write(&path, FIRST).unwrap();
    let mut file = watched(&path);
    fs::remove_file(&path).unwrap();
    assert!(matches!(next(&mut file).await, Err(FileError::Read { .. })));
    fs::write(&path, SECOND).unwrap();
    assert!(next(&mut file).await.is_ok());
}
