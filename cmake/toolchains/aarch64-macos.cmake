# macOS on Apple Silicon, with the Clang, libc++ and system headers of the Python package ziglang. Shows that all
# of it compiles and links; nothing here runs it.
set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
find_program(zig_python NAMES python3 python REQUIRED)
set(CMAKE_CXX_COMPILER ${zig_python} -m ziglang c++ -target aarch64-macos)
set(CMAKE_AR ${zig_python})
set(CMAKE_CXX_ARCHIVE_CREATE "<CMAKE_AR> -m ziglang ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "<CMAKE_AR> -m ziglang ranlib <TARGET>")
