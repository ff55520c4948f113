# Writes OUT with one macro: SHA-256 over "<sha256 of the file>  <path>\n" of each C file under engine_node, by path.
# tests/tidy computes the same from the tree and compares it with engine_node._engine.SOURCE_DIGEST.
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/engine_node/*.c ${ROOT}/engine_node/*.h)
list(SORT files)
set(lines "")
foreach(file ${files})
  file(SHA256 ${ROOT}/${file} digest)
  string(APPEND lines "${digest}  ${file}\n")
endforeach()
string(SHA256 digest "${lines}")
file(WRITE ${OUT} "#define IRONBOOK_SOURCE_DIGEST \"${digest}\"\n")
