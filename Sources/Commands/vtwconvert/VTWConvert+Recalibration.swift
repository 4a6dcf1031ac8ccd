import Architecture
import Calibration
import CommandSupport
import Inference
import RuntimeSupport
import TensorCore
import VTWMFile

extension VTWConvert {
  /// Writes the `.vtwm` file `input` anew with another calibration or default layer; its weights
  /// are taken over as they are.
  func recalibrate() throws {
    let clock = ContinuousClock()
    let start = clock.now
    let file = try VTWMFile(opening: input)
    for (option, isGiven) in [
      ("--encoding", encoding != nil), ("--vision-tower", visionTower != nil),
      ("--template", template != nil), ("--mmproj", mmproj != nil),
      ("--encoding-for", !encodingFor.isEmpty), ("--importance", importance == true),
      ("--compare-source", compareSource),
    ] where isGiven {
      throw InputError(input, "is packed already; \(option) needs the checkpoint")
    }
    guard !statistics.resume || !calib.isEmpty else {
      throw InputError(
        input, "is packed already; --resume without --calib has nothing to go on with")
    }
    guard !calib.isEmpty || !statistics.merge.isEmpty || k != nil || search.method != .withdraw
    else {
      throw InputError(
        input, "is packed already; --calib, --merge, --k or --schedule says what to change")
    }
    try checkLayer(of: file.configuration)
    let given = try givenProfile(file.configuration)
    let samples = try calibrationSamples(file.configuration)
    let merged = try mergedStatistics()
    try checkStatistics(inputs: [input])
    try checkReport(inputs: [input])
    let subject = CalibrationSubject(
      contents: VTWMContents(file), tensors: file.tensors, precision: file.keyValuePrecision,
      modelID: file.modelID, types: CalibrationSubject.types(of: file))
    if statistics.shard != nil, let samples {
      _ = try measure(samples, subject, compute: engine.compute())
      return
    }
    let tasks = samples?.tasks ?? merged?.tasks ?? []
    let writer = try VTWMWriter(
      path: output, contents: subject.contents,
      encodings: Dictionary(uniqueKeysWithValues: file.tensorInfos.map { ($0.key, $0.encoding) }),
      overwrite: force, inputs: [file.path],
      room: VTWMWriter.FrontRoom(
        profileNames: tasks + scheduleNames(file.configuration, tasks: tasks)))
    InterruptCleanup.removeOnSignal(writer.pendingPath)
    try writer.copyWeights(from: file)
    let copied = clock.now

    let (report, measured) = try calibrate(
      samples, merged: merged, subject, compute: engine.compute())
    let calibrated = clock.now

    var schedule = file.schedule
    if let report {
      schedule = try self.schedule(report, file.configuration)
    } else {
      if let k {
        let name = schedule.profiles[schedule.defaultProfile].name
        schedule.profiles[schedule.defaultProfile] = ScheduleProfile(
          name: name, withdrawingAt: k, of: schedule.layerCount)
      }
      if let given {
        let same = schedule.profiles.firstIndex { $0.name == given.name }
        if let same { schedule.profiles[same] = given } else { schedule.profiles.append(given) }
      }
    }
    try writer.seal(
      schedule: schedule, layerKL: report?.layerKL ?? file.layers.map(\.kl),
      calibration: report?.json ?? file.calibration, provenance: provenance(file),
      keyValuePrecision: file.keyValuePrecision)
    removeLeftStatistics()
    let sealed = clock.now
    if let measured { try writeReport(measured, samples, compute: engine.compute()) }
    let result = ConvertResult(
      output: output, byteCount: writer.byteCount, schedule: schedule, report: report,
      configuration: file.configuration,
      seconds: [
        ("copy", seconds(copied - start)), ("calibrate", seconds(calibrated - copied)),
        ("seal", seconds(sealed - calibrated)), ("report", seconds(clock.now - sealed)),
        ("total", seconds(clock.now - start)),
      ], reportPath: reportPath)
    say(result.text)
    if json { StandardOutput.write(result.json.text + "\n") }
  }

  /// Where the weights came from, and which file they were last taken from.
  private func provenance(_ file: VTWMFile) -> JSONValue {
    var object = file.provenance?.objectValue ?? JSONObject()
    object["recalibrated"] = [
      "converter": .string("vtwconvert \(Program.version)"),
      "content_id": .string(file.contentID), "k": k.map(JSONValue.integer) ?? .null,
    ]
    return .object(object)
  }
}
