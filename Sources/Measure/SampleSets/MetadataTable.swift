import TensorCore

extension ListLayout {
  /// Hugging Face's image folder with `metadata.csv`: the columns `file_name`, `question`, `prompt`
  /// or `text`, and `answer`.  Other columns are ignored.
  static let metadataTable = ListLayout(
    summary: "a table (CSV) with the column 'file_name'",
    recognizes: { file in
      guard let rows = try? DelimitedRows(file, .commas) else { return false }
      return rows.columns["file_name"] != nil
    },
    read: { (file, place, reader) throws(InputError) in
      let rows = try DelimitedRows(file, .commas)
      guard rows.columns["file_name"] != nil else {
        throw InputError(file.path, "has no column 'file_name'")
      }
      rows.forEach { row in
        reader.add(place.id("\(file.name):\(row.line)"), in: place) { () throws(InputError) in
          if let problem = row.problem { throw InputError("", problem) }
          let name = try rows.text("file_name", of: row)
          var question: String?
          for column in ["question", "prompt", "text"] where question == nil {
            question = try rows.text(column, of: row)
          }
          return SampleDescription(
            images: [try place.image(name ?? "")], question: question,
            answer: try rows.text("answer", of: row))
        }
      }
    })
}
