import TensorCore
import Testing

@Suite struct JSONValueTests {
  private let value: JSONValue = [
    "integer": 3, "number": 2.5, "text": "x", "list": [1], "object": ["a": nil], "no": nil,
    "flag": true,
  ]

  @Test func givesMembersOfTheRightKindOnly() {
    #expect(value["integer"]?.integerValue == 3)
    #expect(value["integer"]?.doubleValue == 3)
    #expect(value["number"]?.doubleValue == 2.5)
    #expect(value["number"]?.integerValue == nil)
    #expect(value["text"]?.stringValue == "x")
    #expect(value["text"]?.doubleValue == nil)
    #expect(value["list"]?.arrayValue == [1])
    #expect(value["flag"]?.boolValue == true)
    #expect(value["flag"]?.integerValue == nil)
    #expect(value["object"]?.objectValue?.members.count == 1)
  }

  @Test func takesNullForAbsent() {
    #expect(value["no"] == nil)
    #expect(value["never"] == nil)
    #expect(JSONValue.array([])["a"] == nil)
  }

  @Test func neverTakesANumberForACount() {
    #expect(JSONValue.number(32) != .integer(32))
    #expect(JSONValue.number(32).integerValue == nil)
  }

  @Test func comparesObjectsWithoutOrder() {
    #expect(["a": 1, "b": 2] as JSONValue == ["b": 2, "a": 1])
    #expect(["a": 1, "b": 2] as JSONValue != ["a": 1])
    #expect(["a": 1] as JSONValue != ["b": 1])
  }

  @Test func namesItsKind() {
    let kinds = [
      "an integer", "a number", "a string", "an array", "an object", "null", "a boolean",
    ]
    #expect(value.objectValue?.members.map(\.value.kind) == kinds)
  }

  @Test func changesMembersInPlace() {
    var object = JSONObject([("a", 1), ("b", 2), ("c", 3)])
    object["b"] = 5
    object["d"] = 4
    object["a"] = nil
    object["never"] = nil
    #expect(object.members.map(\.key) == ["b", "c", "d"])
    #expect(object["b"] == 5)
    #expect(object["c"] == 3)
    #expect(object["d"] == 4)
    #expect(object["a"] == nil)
    #expect(!object.isEmpty)
    #expect(JSONObject().isEmpty)
  }

  /// Few members are found without an index; the numbers are those around where one is made.
  @Test(arguments: [0, 1, 7, 8, 9, 10, 100]) func findsEveryMember(count: Int) {
    let members = (0..<count).map { ("key \($0)", JSONValue.integer($0)) }
    for made in [JSONObject(members), JSONObject(unique: members)] {
      guard var object = made else {
        Issue.record("\(count) members of different keys")
        continue
      }
      #expect(object.members.map(\.key) == members.map(\.0))
      for (key, value) in members { #expect(object[key] == value) }
      #expect(object["key"] == nil)
      object["key"] = "new"
      #expect(object["key"] == "new" && object.members.count == count + 1)
      for (key, _) in members {
        object[key] = nil
        #expect(object[key] == nil && object["key"] == "new")
      }
      #expect(object.members.count == 1)
    }
    for twin in 0..<min(count, 12) {
      #expect(JSONObject(unique: members + [("key \(twin)", 0)]) == nil)
      #expect(JSONObject(unique: [("key \(twin)", 0)] + members) == nil)
    }
  }

  @Test func isUniqueOrNothing() {
    #expect(JSONObject(unique: [("a", 1), ("b", 2)])?["b"] == 2)
    #expect(JSONObject(unique: [("a", 1), ("a", 1)]) == nil)
  }
}
