import Glibc
import Primitives
import Transport

do {
  try hardenProcess()
  try CommandTable.run(Array(CommandLine.arguments.dropFirst()))
} catch {
  Terminal.note("maskllm: \(error)")
  exit(error.code == .invalidInput ? 2 : 1)
}
