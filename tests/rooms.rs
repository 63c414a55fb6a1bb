//! The structure of `src/`: which folder may import which, which may name wgpu, and that no files
//! import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, UseTree, Visibility};

use crate::common::Outcome;

/// Room (a folder of `src/`), and the rooms it may import. Nothing imports upward and there are no
/// circles.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("files", &[]),
    ("tensor", &["error"]),
    ("input_file", &["tensor", "files"]),
    ("image", &["tensor", "input_file", "error"]),
    ("op", &["tensor", "error"]),
    ("shader", &["tensor", "error"]),
    ("kernel", &["shader", "op", "tensor", "error"]),
    ("plan", &["kernel", "op", "tensor", "error"]),
    ("reference", &["plan", "op", "tensor", "error"]),
    ("gpu", &["plan", "kernel", "shader", "op", "image", "tensor", "files", "input_file", "error"]),
    ("selftest", &["gpu", "reference", "plan", "kernel", "shader", "op", "tensor", "error"]),
    (
        "tune",
        &["selftest", "gpu", "reference", "plan", "kernel", "op", "tensor", "input_file", "error"],
    ),
    ("network", &["plan", "op", "tensor", "error"]),
    ("weights", &["network", "plan", "op", "image", "tensor", "input_file", "error"]),
    (
        "engine",
        &[
            "weights",
            "network",
            "gpu",
            "reference",
            "plan",
            "kernel",
            "op",
            "image",
            "tensor",
            "error",
        ],
    ),
];

/// Rooms that may name wgpu. `lib.rs` re-exports it.
const MAY_NAME_WGPU: &[&str] = &["gpu", "engine", "lib", "cli", "main"];

/// A module, by its path below the crate's root: `["gpu", "executor"]`.
type Module = Vec<String>;

/// What a name of a module stands for.
enum Name {
    /// An item that is defined in this module's file.
    Defined,
    /// A child module.
    Module,
    /// Another path, absolute, by `use`; `true` where it is a re-export.
    Path(Vec<String>, bool),
}

/// A source file as one crate sees it, with the modules and names in it.
#[derive(Default)]
struct Tree {
    /// The file of each module.
    files: BTreeMap<Module, PathBuf>,
    /// What each name of a module stands for: a module and a function may share a name.
    names: BTreeMap<Module, BTreeMap<String, Vec<Name>>>,
    globs: BTreeMap<Module, Vec<Vec<String>>>,
    /// Paths that a module's code names, outside tests, as written.
    paths: BTreeMap<Module, BTreeSet<Vec<String>>>,
}

/// Whether an item is left out: `#[cfg(test)]` and its combinations.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    })
}

/// The attributes of an item.
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that an item defines, unless it is a module or an import.
fn defined(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

/// The leaves of a `use`: the name, `None` for a glob, and the path.
fn leaves(tree: &UseTree, above: &[String], found: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |name: &syn::Ident| [above, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), found),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, above, found)),
        UseTree::Glob(_) => found.push((None, above.to_vec())),
        UseTree::Name(name) if name.ident == "self" => {
            found.push((above.last().cloned(), above.to_vec()))
        }
        UseTree::Name(name) => found.push((Some(name.ident.to_string()), with(&name.ident))),
        UseTree::Rename(rename) if rename.ident == "self" => {
            found.push((Some(rename.rename.to_string()), above.to_vec()));
        }
        UseTree::Rename(rename) => {
            found.push((Some(rename.rename.to_string()), with(&rename.ident)))
        }
    }
}

/// Collects the paths of a module's code; imports and modules are dealt with apart.
struct Paths<'a>(&'a mut BTreeSet<Vec<String>>);

impl Paths<'_> {
    fn add(&mut self, path: &syn::Path) {
        self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(path);
        visit::visit_path(self, path);
    }

    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            item if is_test(attributes(item)) => {}
            // Within a function: imports of a module are dealt with apart.
            Item::Use(import) => {
                let mut found = Vec::new();
                leaves(&import.tree, &[], &mut found);
                self.0.extend(found.into_iter().map(|(_, path)| path));
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let test = matches!(item, ImplItem::Fn(function) if is_test(&function.attrs));
        if !test {
            visit::visit_impl_item(self, item);
        }
    }

    /// The code in a macro's arguments is tokens to syn: each run of names joined by `::` is a
    /// path.
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.add(&item.path);
        let text = item.tokens.to_string().replace(" :: ", "::").replace(":: ", "::");
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in text.split(|c: char| !is_part(c)).filter(|word| word.contains("::")) {
            let segments: Vec<String> = word.split("::").map(str::to_owned).collect();
            if segments.iter().all(|segment| !segment.is_empty()) {
                self.0.insert(segments);
            }
        }
    }
}

impl Tree {
    /// Reads a crate from its root file.
    fn read(root: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let mut tree = Self::default();
        let folder = root.parent().unwrap_or(Path::new(""));
        let file = syn::parse_file(&std::fs::read_to_string(root)?)?;
        tree.add(&Vec::new(), root, folder, &file.items)?;
        Ok(tree)
    }

    /// Adds a module. `folder` holds the files of its child modules.
    fn add(&mut self, module: &Module, file: &Path, folder: &Path, items: &[Item]) -> Outcome {
        self.files.insert(module.clone(), file.to_owned());
        self.names.entry(module.clone()).or_default();
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(child) => self.add_child(module, file, folder, child)?,
                Item::Use(import) => {
                    self.add_use(module, &import.tree, !matches!(import.vis, Visibility::Inherited))
                }
                item => {
                    if let Some(name) = defined(item) {
                        self.add_name(module, name, Name::Defined);
                    }
                    Paths(self.paths.entry(module.clone()).or_default()).visit_item(item);
                }
            }
        }
        Ok(())
    }

    fn add_child(
        &mut self,
        module: &Module,
        file: &Path,
        folder: &Path,
        child: &ItemMod,
    ) -> Outcome {
        let name = child.ident.to_string();
        self.add_name(module, name.clone(), Name::Module);
        let path = [module.as_slice(), std::slice::from_ref(&name)].concat();
        let inside = folder.join(&name);
        if let Some((_, items)) = &child.content {
            return self.add(&path, file, &inside, items);
        }
        let own = [folder.join(format!("{name}.rs")), inside.join("mod.rs")]
            .into_iter()
            .find(|file| file.exists());
        let own = own.ok_or_else(|| format!("{}: no file of module {name}", file.display()))?;
        let items = syn::parse_file(&std::fs::read_to_string(&own)?)?.items;
        self.add(&path, &own, &inside, &items)
    }

    fn add_name(&mut self, module: &Module, name: String, stands_for: Name) {
        let names = self.names.entry(module.clone()).or_default();
        names.entry(name).or_default().push(stands_for);
    }

    fn add_use(&mut self, module: &Module, tree: &UseTree, public: bool) {
        let mut found = Vec::new();
        leaves(tree, &[], &mut found);
        for (name, path) in found {
            match name {
                Some(name) if name != "_" => {
                    self.add_name(module, name, Name::Path(path, public));
                }
                Some(_) => {}
                None => self.globs.entry(module.clone()).or_default().push(path),
            }
        }
    }

    /// The module that defines what a path names, as seen from a module. `None` for other crates,
    /// local names and modules. `seen` guards against imports that name each other.
    fn definition(
        &self,
        module: &[String],
        path: &[String],
        seen: &mut BTreeSet<(Module, String)>,
    ) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.definition(&[], rest, seen),
            "self" => self.definition(module, rest, seen),
            "super" => self.definition(module.split_last()?.1, rest, seen),
            _ => {
                if !seen.insert((module.to_vec(), first.clone())) {
                    return None;
                }
                let Some(names) = self.names.get(module)?.get(first) else {
                    let mut globs = self.globs.get(module)?.iter();
                    return globs
                        .find_map(|glob| self.definition(module, &[glob, path].concat(), seen));
                };
                names.iter().find_map(|name| match name {
                    // A function or a constant has nothing below it, but a type has.
                    Name::Defined => {
                        Some(module.to_vec()).filter(|_| names.len() == 1 || rest.is_empty())
                    }
                    Name::Module => {
                        self.definition(&[module, std::slice::from_ref(first)].concat(), rest, seen)
                    }
                    Name::Path(target, _) => {
                        self.definition(module, &[target, rest].concat(), seen)
                    }
                })
            }
        }
    }

    fn defining_file(&self, module: &[String], path: &[String]) -> Option<&Path> {
        let definition = self.definition(module, path, &mut BTreeSet::new())?;
        self.files.get(&definition).map(PathBuf::as_path)
    }

    /// The files that each file imports from: those that define what it names by `use` or by a
    /// path. Re-exports are no imports.
    fn edges(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut edges: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
        for (module, file) in &self.files {
            let imports = self.names[module].values().flatten().filter_map(|name| match name {
                Name::Path(path, false) => Some(path),
                _ => None,
            });
            let used = self.paths.get(module).into_iter().flatten();
            let to = imports.chain(used).filter_map(|path| self.defining_file(module, path));
            edges.entry(file).or_default().extend(to.filter(|to| *to != file));
        }
        edges
    }

    /// Groups of files that import each other, directly or through others; each file is in one at
    /// most.
    fn circles(&self) -> Vec<Vec<&Path>> {
        let edges = self.edges();
        let all: BTreeMap<&Path, BTreeSet<&Path>> =
            edges.keys().map(|file| (*file, reached(&edges, file))).collect();
        let mut circles: Vec<Vec<&Path>> = Vec::new();
        for (file, reached) in &all {
            if reached.contains(file) && !circles.iter().flatten().any(|known| known == file) {
                circles.push(
                    all.keys()
                        .copied()
                        .filter(|to| reached.contains(to) && all[to].contains(file))
                        .collect(),
                );
            }
        }
        circles
    }

    /// The first segments of absolute paths that a module names: rooms, or items past their room.
    fn rooms_named(&self, module: &Module) -> BTreeSet<String> {
        let imports = self.names[module].values().flatten().filter_map(|name| match name {
            Name::Path(path, _) => Some(path),
            _ => None,
        });
        let globs = self.globs.get(module).into_iter().flatten();
        let used = self.paths.get(module).into_iter().flatten();
        imports.chain(globs).chain(used).filter_map(|path| absolute(module, path)).collect()
    }
}

/// The files that a file imports, directly or through others.
fn reached<'a>(
    edges: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    from: &'a Path,
) -> BTreeSet<&'a Path> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        let more = edges.get(file).into_iter().flatten().copied();
        next.extend(more.filter(|file| reached.insert(*file)));
    }
    reached
}

/// The first segment below the crate's root of a path that leaves its module upward to the root.
fn absolute(module: &[String], path: &[String]) -> Option<String> {
    if path.first()? == "crate" {
        return path.get(1).cloned();
    }
    let climbed = path.iter().take_while(|segment| *segment == "super").count();
    (climbed > 0 && climbed >= module.len()).then(|| path.get(climbed).cloned()).flatten()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// What is wrong with the imports of a crate's modules.
fn violations(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for (module, file) in &tree.files {
        let room = module.first().map_or("lib", String::as_str);
        let mut say = |what: String| wrong.push(format!("{}: {what}", file.display()));
        let allowed =
            MAY_IMPORT.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        if let Some(allowed) = allowed {
            for name in tree.rooms_named(module) {
                let known = MAY_IMPORT.iter().any(|(known, _)| *known == name);
                if name != room && !allowed.contains(&name.as_str()) {
                    say(format!("imports {name}{}", if known { "" } else { " past its room" }));
                }
            }
        } else if room != "cli" && file != &tree.files[&Module::new()] {
            say("is in no room of the table".to_owned());
        }
        let names = |wanted: &str| {
            let imports = tree.names[module].values().flatten().filter_map(|name| match name {
                Name::Path(path, _) => Some(path),
                _ => None,
            });
            let used = tree.paths.get(module).into_iter().flatten();
            imports
                .chain(used)
                .any(|path| path.len() > 1 && path.iter().any(|segment| segment == wanted))
        };
        if allowed.is_some() && names("wgpu_bottleneck") {
            say("names its own crate".to_owned());
        }
        if names("wgpu") && !MAY_NAME_WGPU.contains(&room) {
            say("names wgpu".to_owned());
        }
    }
    wrong
}

#[test]
fn no_room_imports_upward() -> Outcome {
    let tree = Tree::read(&source().join("lib.rs"))?;
    for (room, _) in MAY_IMPORT {
        assert!(
            tree.files.contains_key(&vec![(*room).to_owned()]),
            "room {room} of the table is not in src/"
        );
    }
    assert!(tree.files.len() > 100, "found only {} modules", tree.files.len());
    let wrong = violations(&tree);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_table_has_no_circles() {
    for (at, (room, allowed)) in MAY_IMPORT.iter().enumerate() {
        for name in *allowed {
            let below = MAY_IMPORT[..at].iter().any(|(known, _)| known == name);
            assert!(below, "{room} may import {name}, which does not stand below it");
        }
    }
}

#[test]
fn no_files_import_each_other() -> Outcome {
    let mut circles = String::new();
    for root in ["lib.rs", "main.rs"] {
        let tree = Tree::read(&source().join(root))?;
        let edges = tree.edges();
        let imports = edges.values().map(BTreeSet::len).sum::<usize>();
        assert!(imports > 50, "found only {imports} imports");
        let short = |path: &Path| path.strip_prefix(source()).unwrap_or(path).display().to_string();
        for circle in tree.circles() {
            circles += &format!("\na circle of {root}:");
            for from in &circle {
                for to in edges[from].iter().filter(|to| circle.contains(to)) {
                    circles += &format!("\n    {} imports {}", short(from), short(to));
                }
            }
        }
    }
    assert!(circles.is_empty(), "files import each other:{circles}");
    Ok(())
}

/// A crate of files that a test writes.
fn crate_of(files: &[(&str, &str)]) -> Result<Tree, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        std::fs::write(path, text)?;
    }
    Tree::read(&folder.path().join("lib.rs"))
}

/// What is wrong with a file of a room.
fn wrong_in(room: &str, text: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let tree = crate_of(&[
        ("lib.rs", &format!("mod {room};")),
        (&format!("{room}/mod.rs"), "mod file;"),
        (&format!("{room}/file.rs"), text),
    ])?;
    Ok(violations(&tree)
        .into_iter()
        .map(|line| line.split(": ").last().unwrap_or_default().to_owned())
        .collect())
}

#[test]
fn imports_upward_are_seen() -> Outcome {
    assert_eq!(wrong_in("reference", "use crate::kernel::Kernel;")?, ["imports kernel"]);
    assert_eq!(
        wrong_in("op", "use crate::{tensor::{Shape, DType}, plan::{self, Plan}};")?,
        ["imports plan"]
    );
    assert_eq!(wrong_in("plan", "fn f() { let x = crate::gpu::Gpu::new(); }")?, ["imports gpu"]);
    assert_eq!(
        wrong_in("plan", "fn f() { println!(\"{}\", crate::gpu::COUNT); }")?,
        ["imports gpu"]
    );
    assert_eq!(wrong_in("plan", "use super::super::gpu::Gpu;")?, ["imports gpu"]);
    assert_eq!(wrong_in("tensor", "use crate::Bottleneck;")?, ["imports Bottleneck past its room"]);
    assert_eq!(wrong_in("kernel", "fn f(b: wgpu::Buffer) {}")?, ["names wgpu"]);
    assert_eq!(wrong_in("network", "use wgpu_bottleneck::Gpu;")?, ["names its own crate"]);
    assert_eq!(
        wrong_in("elsewhere", "")?.last().map(String::as_str),
        Some("is in no room of the table")
    );
    assert_eq!(wrong_in("plan", "#[cfg(test)] mod tests { use crate::gpu::Gpu; }")?, [""; 0]);
    assert_eq!(wrong_in("plan", "pub(in crate::plan) fn g() {} // crate::gpu")?, [""; 0]);
    Ok(())
}

#[test]
fn circles_are_seen() -> Outcome {
    let circles = |b: &str| -> Result<usize, Box<dyn std::error::Error>> {
        let root = "mod a; mod b; pub use a::A; pub use b::B;";
        let tree =
            crate_of(&[("lib.rs", root), ("a.rs", "use crate::B; pub struct A(B);"), ("b.rs", b)])?;
        Ok(tree.circles().len())
    };
    assert_eq!(circles("pub struct B;")?, 0);
    // By a re-export of the root, by a path, by a macro's argument, by a glob.
    assert_eq!(circles("use super::A; pub struct B; fn f(_: A) {}")?, 1);
    assert_eq!(circles("pub struct B; fn f(_: crate::a::A) {}")?, 1);
    assert_eq!(circles("pub struct B; fn f() { println!(\"{}\", crate::a::A::X) }")?, 1);
    assert_eq!(circles("use crate::a::*; pub struct B; fn f(_: A) {}")?, 1);
    assert_eq!(circles("pub struct B; fn f() { use crate::a::A; }")?, 1);
    // A re-exported function with the name of its module does not hide the module.
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::a;"),
        ("a.rs", "use crate::b::B; pub fn a(_: B) {} pub const C: u8 = 1;"),
        ("b.rs", "pub struct B; fn f() { let _ = crate::a::C; }"),
    ];
    assert_eq!(crate_of(&files)?.circles().len(), 1);
    // A re-export is no import, nor is what a test imports.
    assert_eq!(circles("pub use crate::a::A; pub struct B;")?, 0);
    assert_eq!(circles("pub struct B; #[cfg(test)] mod tests { use crate::A; }")?, 0);
    Ok(())
}
