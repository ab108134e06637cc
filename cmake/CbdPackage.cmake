# SPDX-License-Identifier: BSD-2-Clause
# A Debian package of what `cmake --install` installs: scripts/package makes it, and tries it.
install(FILES ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}
        FILES_MATCHING PATTERN "*.md")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ${PROJECT_NAME})
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "CBD cache developers <cbd-cache@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "write-back cache for block devices on persistent memory")
set(CPACK_PACKAGE_DESCRIPTION
    "Tools to format, check, show, serve and simulate a cache that stands, on persistent
memory, before block devices.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "nbdkit")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "udev, bash-completion, file")
include(CPack)
