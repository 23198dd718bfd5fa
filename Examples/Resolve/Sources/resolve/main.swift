// Resolves a masked key in this process, against the store of a maskllm on this machine.
//
//   MASKLLM_KEY=mk_... swift run resolve DATA-DIRECTORY PROVIDER [ROUNDS]
//
// With ROUNDS it also times that many calls.
import Foundation
import MaskLLM

/// Writes a line at once, also into a pipe.
func say(_ line: String) { FileHandle.standardOutput.write(Data("\(line)\n".utf8)) }

func run(dataDirectory: String, provider: [UInt8], maskedKey: [UInt8], rounds: Int?) throws {
  let keyFile = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(dataDirectory)/unseal.key")))
  let resolver = try Resolver(dataDirectory: dataDirectory, unsealSecret: keyFile.span)

  // A real program would put the key into its request here; we only say how long it is.
  let length = try resolver.withProviderKey(for: maskedKey.span, provider: provider.span) { $0.count }
  say("resolved: a provider key of \(length) bytes")

  if let rounds {
    let time = try ContinuousClock().measure {
      for _ in 0..<rounds { _ = try resolver.withProviderKey(for: maskedKey.span, provider: provider.span) { $0.count } }
    }
    say("\(rounds) calls, \(time / rounds) each")
  }
}

let arguments = CommandLine.arguments
guard arguments.count >= 3, let maskedKey = ProcessInfo.processInfo.environment["MASKLLM_KEY"] else {
  say("usage: MASKLLM_KEY=mk_... resolve DATA-DIRECTORY PROVIDER [ROUNDS]")
  exit(2)
}
do {
  let rounds = arguments.count > 3 ? Int(arguments[3]) : nil
  try run(dataDirectory: arguments[1], provider: Array(arguments[2].utf8), maskedKey: Array(maskedKey.utf8), rounds: rounds)
} catch {
  say("refused: \(error)")
  exit(1)
}
