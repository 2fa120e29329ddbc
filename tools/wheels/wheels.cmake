# Makes it possible to build our interfaces against the ROS 2 wheels. Only tools/bootstrap.py passes this file to CMake,
# as CMAKE_PROJECT_INCLUDE.
#
# A Python type support exports the include folders of Python and NumPy, which its users do not need. In the wheels
# they are folders of the machine that built them; in our build they are in a virtual environment inside the source
# tree. CMake rejects the former and refuses to export the latter. So this removes both at the end of configuring, when
# all packages are found and all targets are declared.
function(keep_include_directories_of_type_supports_private)
  get_property(imported DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS imported)
    if(target MATCHES "__rosidl_generator_py$")
      set_property(TARGET ${target} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "")
    endif()
  endforeach()
  set(ours ${PROJECT_NAME}__rosidl_generator_py)
  if(TARGET ${ours})
    get_property(directories TARGET ${ours} PROPERTY INTERFACE_INCLUDE_DIRECTORIES)
    set_property(TARGET ${ours} PROPERTY INTERFACE_INCLUDE_DIRECTORIES "$<BUILD_INTERFACE:${directories}>")
  endif()
endfunction()
cmake_language(DEFER CALL keep_include_directories_of_type_supports_private)
