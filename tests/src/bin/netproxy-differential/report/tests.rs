use super::*;
use crate::generate;

#[test]
fn a_case_is_read_back_as_it_was_written() {
    let case = Case {
        name: format!("test-{}", std::process::id()),
        ..generate::case(2, 5)
    };
    let directory = save(&case, &[]).unwrap();
    let found = load(&directory).unwrap();
    let readme = fs::read_to_string(directory.join("README.md")).unwrap();
    let steps = (0..case.steps.len()).all(|it| directory.join(format!("step-{it}.yaml")).is_file());
    fs::remove_dir_all(&directory).unwrap();
    assert_eq!(found, case);
    assert!(steps);
    assert!(readme.contains(&format!("--replay target/differential/{}", case.name)));
}

#[test]
fn a_directory_that_no_failure_has_left_is_named() {
    let error = load(Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("/nowhere/case.json"), "{error}");
}
