import AdminAPI
import Glibc
import Leaks
import Primitives
import Providers
import Storage
import Wire

/// `maskllm scan`: finds keys where they should not be, in files, in git's history and in what is piped in.
enum ScanCommand {
  /// Exit status when something was found: neither success nor a failure of the search.
  static let foundStatus: Int32 = 3

  static let command = Command(
    path: ["scan"], operand: "[PATH...]", summary: "find masked keys and providers' keys in files, git history or a pipe",
    options: [
      Option(name: "git", value: nil, help: "what was ever added in the history of the repository at PATH (default: here)"),
      Option(name: "staged", value: nil, help: "what is about to be committed there"),
      Option(name: "stdin", value: nil, help: "standard input: a log, a dump"),
      Option(name: "install-hook", value: nil, help: "have git refuse commits with keys in the repository at PATH"),
      Option(name: "format", value: "FORMAT", help: "text, json or sarif (default: text)"),
      Option(name: "masked-only", value: nil, help: "only masked keys, of which none is found by mistake"),
      Option(name: "report", value: nil, help: "tell the server of the masked keys: the triggers for leaked keys answer"),
    ]
  ) { arguments throws(Fault) in
    if arguments.has("install-hook") { return try installHook(arguments) }
    let modes = ["git", "staged", "stdin"].filter { arguments.has($0) }
    guard modes.count <= 1 else {
      throw Fault(.invalidInput, "'--\(modes[0])' and '--\(modes[1])' do not go together", hint: "search one after the other")
    }
    guard modes.first != "stdin" || arguments.operands.isEmpty else {
      throw Fault(.invalidInput, "a path and '--stdin' do not go together")
    }
    guard !modes.isEmpty || !arguments.operands.isEmpty else {
      throw Fault(.invalidInput, "what to search is missing", hint: "name a path, or give --git, --staged or --stdin")
    }
    guard let format = ScanReport.Format(rawValue: arguments.value("format") ?? "text") else {
      throw Fault(.invalidInput, "there is no such format", hint: "use text, json or sarif")
    }
    var report = ScanReport(isMaskedOnly: arguments.has("masked-only"), keepsTexts: arguments.has("report"))
    let search = ScanSearch(finder: try SecretFinder(try catalogue(arguments)))
    switch modes.first {
    case "stdin": try search.descriptor(0, named: "-", &report)
    case "git", "staged":
      for path in arguments.operands.isEmpty ? ["."] : arguments.operands {
        try search.git(path, isStaged: modes[0] == "staged", &report)
      }
    default: for path in arguments.operands { try search.path(path, &report) }
    }
    Terminal.result(report.text(format))
    for path in report.unread { Terminal.note("maskllm: \(Terminal.plain(path)) could not be read and was not searched") }
    if arguments.has("report"), !report.texts.isEmpty { try tell(report.texts, arguments) }
    if !report.findings.isEmpty { exit(foundStatus) }
    // A search that has not seen everything has not found nothing.
    if !report.unread.isEmpty { exit(1) }
  }

  /// The shipped one, with the user's own entries where there is a data directory.
  private static func catalogue(_ arguments: Arguments) throws(Fault) -> Catalogue {
    guard let path = try? Files.dataDirectory(arguments), DataDirectory.isInitialized(path) else { return .builtIn }
    return try Catalogue.with(folder: DataDirectory.cataloguePath(path))
  }

  private static func tell(_ texts: [(key: [UInt8], place: String)], _ arguments: Arguments) throws(Fault) {
    let reports = texts.map { LeakReportDocument(token: String(decoding: $0.key, as: UTF8.self), url: $0.place, source: "scan") }
    let answer: [LeakVerdictDocument] = try decode(try AdminLink.open(arguments).call(.post, "/v1/leaks", json: reports))
    let known = answer.count { $0.label == "true_positive" }
    Terminal.note("reported: \(known) of \(reports.count) are keys of this gateway; see 'maskllm audit list --act event'")
  }

  private static func installHook(_ arguments: Arguments) throws(Fault) {
    let path = arguments.operands.first ?? "."
    guard arguments.operands.count <= 1 else { throw Fault(.invalidInput, "only one repository is wanted") }
    let (status, output) = try ScanSearch.gitOutput(path, ["rev-parse", "--git-path", "hooks/pre-commit"])
    guard status == 0 else { throw Fault(.notFound, "there is no git repository at \(path)") }
    let told = String(decoding: output, as: UTF8.self).split(separator: "\n").first.map(String.init) ?? ""
    let file = told.hasPrefix("/") ? told : "\(path)/\(told)"
    let folder = String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)])
    unsafe mkdir(folder, 0o755)
    let fd = unsafe open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o755)
    guard fd >= 0 else {
      throw Fault(
        .conflict, unsafe "\(file) cannot be made: \(String(cString: strerror(errno)))",
        hint: "add this line to the hook that is there: maskllm scan --staged")
    }
    defer { close(fd) }
    let script = Array(
      "#!/bin/sh\n# Refuses commits that have a masked key or a provider's key in them.\nexec maskllm scan --staged\n".utf8)
    guard unsafe script.withUnsafeBytes({ unsafe write(fd, $0.baseAddress!, $0.count) }) == script.count else {
      throw Fault(.system, "\(file) cannot be written")
    }
    Terminal.result("\(file) refuses commits that have keys in them")
  }
}
